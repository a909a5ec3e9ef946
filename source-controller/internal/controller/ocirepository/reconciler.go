// Package ocirepository reconciles OCIRepositories: it finds the artifact that a reference names now, and stores a layer of
// it: unpacked and packed again as Flux does, or as it is.
//
// The path of an attempt is that of package attempt. What is an OCIRepository's own: access.go reads its Secrets, observe.go
// asks the registry, verify.go asks who signed, act.go and layer.go make the artifact.
package ocirepository

import (
	"context"
	"sync"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

const defaultTimeout = time.Minute

// Outcome is how an attempt ended.
type Outcome = attempt.Outcome[*sourcev1.OCIRepository]

// Clouds logs in to the registries of clouds.
type Clouds interface {
	Registry(ctx context.Context, provider string, s identity.Subject, repository string) (secret.Login, error)
	// Forget ends what is measured of an object.
	Forget(kind, namespace, name string)
}

// Reconciler reconciles OCIRepositories. Every exported field must be set.
type Reconciler struct {
	attempt.Runner[*sourcev1.OCIRepository]

	// Secrets reads Secrets and ServiceAccounts.
	Secrets secret.Reader
	// Clouds logs in where spec.provider says so.
	Clouds Clouds
	// Signatures verifies where spec.verify says so.
	Signatures Signatures
	// Connections are those to registries.
	Connections *wire.Pool
	// Limits bound an artifact.
	Limits pack.Limits

	memories memories
}

// Setup registers the reconciler with a manager.
func (r *Reconciler) Setup(mgr ctrl.Manager, o controller.Options) error {
	return r.Runner.Setup(mgr, r, o, r, nil)
}

// Reconcile makes one attempt.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	return r.Run(ctx, req, r)
}

// New implements [attempt.Kind].
func (r *Reconciler) New() *sourcev1.OCIRepository { return &sourcev1.OCIRepository{} }

// Status implements [attempt.Kind].
func (r *Reconciler) Status(obj *sourcev1.OCIRepository) attempt.Status {
	s := &obj.Status
	return attempt.Status{
		Suspended: obj.Spec.Suspend, Conditions: &s.Conditions, Artifact: &s.Artifact,
		ObservedGeneration: &s.ObservedGeneration, Handled: &s.ReconcileRequestStatus, URL: &s.URL,
	}
}

// Timeout implements [attempt.Kind].
func (r *Reconciler) Timeout(obj *sourcev1.OCIRepository) time.Duration {
	if t := obj.Spec.Timeout; t != nil && t.Duration > 0 {
		return t.Duration
	}
	return defaultTimeout
}

// Attempt implements [attempt.Kind].
func (r *Reconciler) Attempt(ctx context.Context, obj *sourcev1.OCIRepository, o plan.Observed) Outcome {
	seen := r.observe(ctx, obj, o)
	defer seen.close()
	out := r.act(ctx, obj, seen)
	out.Received = seen.received()
	return out
}

// Remove implements [attempt.Kind].
func (r *Reconciler) Remove(_ context.Context, obj *sourcev1.OCIRepository) error {
	r.memories.forget(obj.UID)
	r.Clouds.Forget(sourcev1.OCIRepositoryKind, obj.Namespace, obj.Name)
	return nil
}

// memories are what the registries of objects said, by UID. Each object has its own: see [oci.Memory].
type memories struct {
	mu    sync.Mutex
	byUID map[types.UID]memory
}

type memory struct {
	*oci.Memory
	generation int64
}

// of is the memory of an object as its spec is now: another address, proxy or authority may be answered by somebody else.
func (m *memories) of(obj *sourcev1.OCIRepository) *oci.Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byUID == nil {
		m.byUID = map[types.UID]memory{}
	}
	known, ok := m.byUID[obj.UID]
	if !ok || known.generation != obj.Generation {
		known = memory{&oci.Memory{}, obj.Generation}
		m.byUID[obj.UID] = known
	}
	return known.Memory
}

func (m *memories) forget(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byUID, uid)
}
