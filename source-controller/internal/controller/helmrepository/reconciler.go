// Package helmrepository reconciles HelmRepositories: it stores the index of one that is served over HTTP. One in a registry has
// no index, and nothing to reconcile: its charts ask the registry themselves.
//
// The path of an attempt is that of package attempt. What is a HelmRepository's own: observe.go asks the server, act.go checks the
// index and stores it, static.go clears what is left on one that has become a registry's.
package helmrepository

import (
	"context"
	"sync"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

// Outcome is how an attempt ended.
type Outcome = attempt.Outcome[*sourcev1.HelmRepository]

// Reconciler reconciles HelmRepositories. Every exported field must be set.
type Reconciler struct {
	attempt.Runner[*sourcev1.HelmRepository]

	// Secrets reads Secrets.
	Secrets secret.Reader
	// Repositories asks servers.
	Repositories *helmrepo.Client
	// Indexes keeps what is where in an index, for the charts.
	Indexes *helmrepo.Indexes
	// Forget ends what is measured of an object that is gone; charts log in to clouds in the name of their repository.
	Forget func(kind, namespace, name string)

	tags tags
}

// Reconcile makes one attempt.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var obj sourcev1.HelmRepository
	err := r.Reporter.Get(ctx, req.NamespacedName, &obj)
	if apierrors.IsNotFound(err) {
		r.Forget(sourcev1.HelmRepositoryKind, req.Namespace, req.Name)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if static(&obj) {
		return ctrl.Result{}, r.clear(ctx, &obj)
	}
	return r.Run(ctx, req, r)
}

// New implements [attempt.Kind].
func (r *Reconciler) New() *sourcev1.HelmRepository { return &sourcev1.HelmRepository{} }

// Status implements [attempt.Kind].
func (r *Reconciler) Status(obj *sourcev1.HelmRepository) attempt.Status {
	s := &obj.Status
	return attempt.Status{
		Suspended: obj.Spec.Suspend, Conditions: &s.Conditions, Artifact: &s.Artifact,
		ObservedGeneration: &s.ObservedGeneration, Handled: &s.ReconcileRequestStatus, URL: &s.URL,
	}
}

// Timeout implements [attempt.Kind].
func (r *Reconciler) Timeout(obj *sourcev1.HelmRepository) time.Duration {
	if t := obj.GetTimeout(); t > 0 {
		return t
	}
	return time.Minute
}

// Attempt implements [attempt.Kind].
func (r *Reconciler) Attempt(ctx context.Context, obj *sourcev1.HelmRepository, o plan.Observed) Outcome {
	seen := r.observe(ctx, obj, o)
	defer seen.close(ctx)
	out := r.act(ctx, obj, seen)
	out.Received = seen.answer.Size
	return out
}

// Restore implements [attempt.Kind]: an index is the server's, or not at all.
func (r *Reconciler) Restore(context.Context, *sourcev1.HelmRepository) bool { return false }

// Remove implements [attempt.Kind].
func (r *Reconciler) Remove(_ context.Context, obj *sourcev1.HelmRepository) error {
	r.tags.forget(obj.UID)
	return nil
}

// tags are what servers called the indexes that are stored, by the UID of the object.
type tags struct {
	mu    sync.Mutex
	known map[types.UID]tag
}

type tag struct {
	// revision is the index that has the name, generation the spec that it was fetched with.
	revision   string
	generation int64
	name       string
}

// of is the name of the index that an object has; empty if there is none.
func (t *tags) of(obj *sourcev1.HelmRepository) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.known[obj.UID]
	if !ok || known.generation != obj.Generation || !obj.Status.Artifact.HasRevision(known.revision) {
		return ""
	}
	return known.name
}

func (t *tags) learn(obj *sourcev1.HelmRepository, revision, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known = map[types.UID]tag{}
	}
	if name == "" {
		delete(t.known, obj.UID)
		return
	}
	t.known[obj.UID] = tag{revision, obj.Generation, name}
}

func (t *tags) forget(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, uid)
}
