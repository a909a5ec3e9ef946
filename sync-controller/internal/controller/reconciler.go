package controller

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/config"
	"github.com/sluice-gitops/sluice/sync-controller/internal/content"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/events"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/measure"
	"github.com/sluice-gitops/sluice/sync-controller/internal/peers"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release"
	"github.com/sluice-gitops/sluice/sync-controller/internal/store"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
	"github.com/sluice-gitops/sluice/sync-controller/internal/target"
)

// Name of the controller, as it appears in events, field managers and metrics.
const Name = config.Name

// maxSteps bounds a reconciliation. An attempt has six stages; each may be preceded by a heal.
const maxSteps = 24

// Watcher knows the metadata of managed objects; *drift.Watcher outside of tests.
type Watcher interface {
	drift.Kinds
	Fingerprint(ownerGroup string, id inventory.ID) (fingerprint string, found bool)
}

// Reconciler brings the subjects of one kind to what their Render records say. Fill in the fields and call Setup; it is
// safe for concurrent use, one subject at a time.
type Reconciler struct {
	// Kind is what it reconciles.
	Kind subject.Kind
	// Client reads subjects and records from the cache, and writes. It must not cache Secrets and ConfigMaps.
	Client client.Client
	// Live reads past the cache.
	Live client.Reader
	// Target is where the objects of a subject live.
	Target target.For
	// Watcher knows the objects' metadata.
	Watcher Watcher
	// Signal has a subject look at one of its objects.
	Signal func(drift.Signal)
	// Store keeps contents and progress.
	Store *store.Store
	// Fetcher gets sealed contents, which Identities open.
	Fetcher    content.Fetcher
	Identities []age.Identity
	// FingerprintKey keys the fingerprints in Store.
	FingerprintKey []byte
	// Selector narrows to subjects with certain labels; nil for all.
	Selector labels.Selector
	// Access says who may refer to what, and as whom objects are applied.
	Access access.Checker
	// AllowFlux takes over even where Flux's own controllers run.
	AllowFlux bool
	// Dependency is how soon dependencies are looked at again when no watch reports anything.
	Dependency time.Duration
	// Events tells of outcomes.
	Events *events.Emitter
	// Measure records how long a reconciliation took; nil for nothing.
	Measure func(ctx context.Context, object client.Object, started time.Time)
	// Metrics counts and times what is done; nil for nothing.
	Metrics *measure.Metrics
	// Jitter spreads intervals.
	Jitter func(time.Duration) time.Duration
	// Now tells the time.
	Now func() time.Time

	// Namespace is where the controllers run.
	Namespace string
	// Mapper knows which kinds are namespaced.
	Mapper apimeta.RESTMapper
	// Managed has the right kinds watched, Gates knows whose prune waits for whom. They are the same for the reconcilers of
	// both kinds.
	Managed *drift.Managed
	Gates   *peers.Gates

	memories memories
}

// reconciliation is one look at one subject, with everything it reads and changes.
type reconciliation struct {
	*Reconciler
	key    subject.Key
	memory *memory
	// subject is changed in memory; stored is what the API server has.
	subject, stored subject.Subject
	// release is what is done about releases beside the objects themselves.
	release release.Actions
	render  *v1alpha1.Render
	// health is what this reconciliation found, nil before it looked.
	health *plan.Health
	// reported says that this reconciliation has reported the attempt's outcome.
	reported bool
	now      time.Time
	// again is when a deletion is to be tried again; 0 leaves it to the decision. met is what stood in its way.
	again time.Duration
	met   *obstacles
}

// Reconcile works on one subject until there is nothing to do but wait.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	started := r.Now()
	key := subject.Key{Kind: r.Kind.Name, Namespace: req.Namespace, Name: req.Name}
	object := r.Kind.NewObject()
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
	one := r.reconciliation(key, object)
	if !one.memory.loaded {
		if err := one.load(ctx, started); err != nil {
			return waiting(0), err
		}
	}
	after, err := one.work(ctx)
	switch {
	case ctx.Err() != nil: // the process ends; what was under way is gone on with by the next one
		return waiting(0), nil
	case apierrors.IsConflict(err), client.IgnoreNotFound(err) == nil && err != nil:
		return waiting(time.Second), nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return waiting(plan.TerminationPoll), nil // nothing can be made here any more; the subject is deleted next
	case err != nil:
		return waiting(0), fmt.Errorf("%s: %w", key, err)
	}
	return waiting(after), nil
}

// work does what is to be done, and returns when to look again.
func (r *reconciliation) work(ctx context.Context) (time.Duration, error) {
	if err := r.restoreRecord(ctx); err != nil {
		return 0, err
	}
	if err := r.noteEnds(ctx); err != nil {
		return 0, err
	}
	return r.run(ctx)
}

// reconciliation begins a look at a subject. What is remembered of an earlier one of the same name is dropped.
func (r *Reconciler) reconciliation(key subject.Key, object subject.Object) *reconciliation {
	m := r.memories.of(key)
	if m.loaded && m.uid != object.GetUID() {
		r.memories.forget(key)
		m = r.memories.of(key)
	}
	current := m.writes.Current(r.Kind.Of(object))
	one := &reconciliation{Reconciler: r, key: key, memory: m, subject: current, stored: current.Copy()}
	one.release = release.For(current, one.releaseWorld())
	return one
}

// selects says whether a subject is this process' own.
func (r *Reconciler) selects(o client.Object) bool {
	return r.Selector == nil || r.Selector.Matches(labels.Set(o.GetLabels()))
}

// waiting ends a reconciliation; another follows after the given time, or by an event when that is 0. Whatever brought the
// subject to the front of the queue, or to its end, counts no more: the queue would keep that priority for ever.
func waiting(after time.Duration) ctrl.Result {
	return ctrl.Result{RequeueAfter: after, Priority: ptr.To(0)}
}

// run decides and acts until an action ends the reconciliation; it returns when to look again.
func (r *reconciliation) run(ctx context.Context) (time.Duration, error) {
	for range maxSteps {
		r.now = r.Now()
		state, err := r.observe(ctx)
		if err != nil {
			return 0, err
		}
		action := plan.Decide(state)
		r.memory.journal.Decided(ctrl.LoggerFrom(ctx), action)
		done, err := r.act(ctx, state, action)
		if err != nil {
			return 0, err
		}
		if done {
			if err := r.noteEnds(ctx); err != nil {
				return 0, err
			}
			return r.next(action), nil
		}
	}
	return 0, fmt.Errorf("no end after %d steps", maxSteps)
}

// next is when to look again: the action's own time, spread, or when a contended object may be corrected again.
func (r *reconciliation) next(a plan.Action) time.Duration {
	after := cmp.Or(r.again, a.After)
	if after > time.Minute {
		after = r.Jitter(after)
	}
	if r.memory.awaitsListing(r.now) && (after <= 0 || after > plan.SyncPoll) {
		after = plan.SyncPoll
	}
	_, rest := r.memory.pending.Due(r.now, r.memory.contentions)
	r.postponed(rest)
	if rest > 0 && (after <= 0 || rest < after) {
		return rest
	}
	return max(0, after)
}

// postponed counts that a correction has to wait, once for each time that it waits for.
func (r *reconciliation) postponed(rest time.Duration) {
	m, until := r.memory, r.now.Add(rest)
	if rest > 0 && until.Sub(m.postponedUntil) > time.Millisecond {
		m.postponedUntil = until
		r.Metrics.Postponed(r.Kind.Name)
	}
}

// forget drops what is remembered of a subject that is gone.
func (r *Reconciler) forget(key subject.Key) error {
	r.leave(key)
	return r.Store.Forget(key)
}

// leave drops what is in memory of a subject that is not this process' own, or not any more.
func (r *Reconciler) leave(key subject.Key) {
	r.memories.forget(key)
	r.Managed.Leave(r.Kind.Owner(key))
	r.Gates.Leave(key)
}
