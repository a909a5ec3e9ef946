package controller

import (
	"context"
	"fmt"
	"time"

	"filippo.io/age"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/config"
	"github.com/sluice-gitops/sluice/sync-controller/internal/keep"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// Name of the controller, as it appears in events, field managers and metrics.
const Name = config.Name

// maxSteps bounds a pass. An attempt has six stages; each may be preceded by a heal.
const maxSteps = 24

// Announcer takes events off the reconcile path. It is outbox.Outbox outside of tests.
type Announcer interface {
	Announce(id string, ev event.Event)
}

// Fetcher gets a sealed content, checked against its digest and size.
type Fetcher interface {
	Get(ctx context.Context, url, digest string, size int64) ([]byte, error)
}

// Reconciler brings the subjects of one kind to what their Render records say. Fill in the fields and call Setup; it is
// safe for concurrent use, one subject at a time.
type Reconciler struct {
	// Kind is what it reconciles.
	Kind kind
	// Client reads subjects and records from the cache, and writes. It must not cache Secrets and ConfigMaps.
	Client client.Client
	// Live reads past the cache.
	Live client.Reader
	// Hands work on the objects of a subject.
	Hands HandsFor
	// Watcher knows the objects' metadata.
	Watcher Watcher
	// Store keeps contents and progress.
	Store *keep.Store
	// Fetcher gets sealed contents, which Identities open.
	Fetcher    Fetcher
	Identities []age.Identity
	// PrintKey keys the fingerprints in Store.
	PrintKey []byte
	// Selector narrows to subjects with certain labels; nil for all.
	Selector labels.Selector
	// Access says who may refer to what, and as whom objects are applied.
	Access access.Checker
	// AllowFlux takes over even where Flux's own controllers run.
	AllowFlux bool
	// Dependency is how soon dependencies are looked at again when no watch reports anything.
	Dependency time.Duration
	// Recorder writes core/v1 Events, Announcer everything that goes to the bus.
	Recorder  record.EventRecorder
	Announcer Announcer
	// Measure records how long a pass took; nil for nothing.
	Measure func(ctx context.Context, object client.Object, started time.Time)
	// Jitter spreads intervals.
	Jitter func(time.Duration) time.Duration
	// Now tells the time.
	Now func() time.Time

	// Mapper knows which kinds are namespaced.
	Mapper apimeta.RESTMapper
	// Shared is the same for the reconcilers of both kinds.
	Shared *Shared

	memories memories
}

// pass is one look at one subject, with everything it reads and changes.
type pass struct {
	*Reconciler
	key keep.Key
	mem *memory
	// subject is changed in memory; stored is what the API server has.
	subject, stored subject
	render          *v1alpha1.Render
	// health is what this pass found, nil before it looked.
	health *plan.Health
	// unreported is the attempt before it ended in this pass.
	unreported progress
	// reported says that this pass has reported the attempt's outcome.
	reported bool
	now      time.Time
}

// Reconcile works on one subject until there is nothing to do but wait.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	started := r.Now()
	key := keep.Key{Kind: r.Kind.name, Namespace: req.Namespace, Name: req.Name}
	object := r.Kind.newObject()
	if err := r.Client.Get(ctx, req.NamespacedName, object); err != nil {
		if apierrors.IsNotFound(err) {
			return waiting(0), r.forget(key)
		}
		return waiting(0), fmt.Errorf("read %s: %w", key, err)
	}
	if !r.selects(object) {
		r.leave(key)
		return waiting(0), nil
	}
	if r.Measure != nil {
		defer r.Measure(ctx, object, started)
	}
	mem := r.memories.of(key)
	if mem.loaded && mem.uid != object.GetUID() {
		r.memories.forget(key)
		mem = r.memories.of(key)
	}
	current := mem.writes.current(r.Kind.wrap(object))
	p := &pass{Reconciler: r, key: key, mem: mem, subject: current, stored: current.copied()}
	if !mem.loaded {
		if err := mem.load(r.Store, key, object.GetUID()); err != nil {
			return waiting(0), err
		}
		if err := p.loadSync(ctx); err != nil {
			return waiting(0), err
		}
		r.Shared.manage(key, r.Kind.group, p.statusInventory().Entries())
		mem.loaded, mem.missed = true, started
	}
	if err := p.restoreSync(ctx); err != nil {
		return waiting(0), err
	}
	after, err := p.run(ctx)
	switch {
	case apierrors.IsConflict(err), client.IgnoreNotFound(err) == nil && err != nil:
		return waiting(time.Second), nil
	case err != nil:
		return waiting(0), fmt.Errorf("%s: %w", key, err)
	}
	return waiting(after), nil
}

// selects says whether a subject is this process' own.
func (r *Reconciler) selects(o client.Object) bool {
	return r.Selector == nil || r.Selector.Matches(labels.Set(o.GetLabels()))
}

// waiting ends a pass; another follows after the given time, or by an event when that is 0. Whatever brought the subject to
// the front of the queue, or to its end, counts no more: the queue would keep that priority for ever.
func waiting(after time.Duration) ctrl.Result {
	return ctrl.Result{RequeueAfter: after, Priority: ptr.To(0)}
}

// run decides and acts until an action ends the pass; it returns when to look again.
func (p *pass) run(ctx context.Context) (time.Duration, error) {
	for range maxSteps {
		p.now = p.Now()
		state, err := p.observe(ctx)
		if err != nil {
			return 0, err
		}
		action := plan.Decide(state)
		done, err := p.act(ctx, state, action)
		if err != nil {
			return 0, err
		}
		if done {
			return p.next(action), nil
		}
	}
	return 0, fmt.Errorf("no end after %d steps", maxSteps)
}

// next is when to look again: the action's own time, spread, or the end of a fight over an object.
func (p *pass) next(a plan.Action) time.Duration {
	after := a.After
	if after > time.Minute {
		after = p.Jitter(after)
	}
	if _, fight := p.mem.mailbox.due(p.now, p.mem.fights); fight > 0 && (after <= 0 || fight < after) {
		return fight
	}
	return max(0, after)
}

// forget drops what is remembered of a subject that is gone.
func (r *Reconciler) forget(key keep.Key) error {
	r.leave(key)
	return r.Store.Forget(key)
}

// leave drops what is in memory of a subject that is not this process' own, or not any more.
func (r *Reconciler) leave(key keep.Key) {
	r.memories.forget(key)
	r.Shared.leave(key)
}
