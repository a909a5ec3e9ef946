// Package gitrepository reconciles GitRepositories: it finds the commit that a reference names now, and stores its tree
// as an artifact.
//
// The path of an attempt is that of package attempt. What is a GitRepository's own: observe.go asks Secrets and upstream,
// act.go makes the artifact. Objects that follow the same repository share what it answers (share.go) and its clone.
package gitrepository

import (
	"context"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

const defaultTimeout = time.Minute

// Outcome is how an attempt ended.
type Outcome = attempt.Outcome[*sourcev1.GitRepository]

// Issuer logs in to clouds, and as GitHub Apps.
type Issuer interface {
	Git(ctx context.Context, provider string, s identity.Subject, address string) (secret.Login, error)
	GitHubApp(ctx context.Context, s identity.Subject, data map[string][]byte, tls secret.TLS) (secret.Login, error)
	Refused(kind, namespace, name string)
	Forget(kind, namespace, name string)
}

// Reconciler reconciles GitRepositories. Every field must be set.
type Reconciler struct {
	attempt.Runner[*sourcev1.GitRepository]

	// Secrets reads Secrets.
	Secrets secret.Reader
	// Identity logs in where nobody has a password: see [identity.Issuer].
	Identity Issuer
	// Git asks repositories.
	Git *git.Client
	// Clones holds the bare clones.
	Clones *git.Cache
	// Limits bound an artifact.
	Limits pack.Limits

	// asks are what repositories are asked, and requests when reconciles were asked for.
	asks     git.Asks
	requests requests
}

// Reconcile makes one attempt.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	return r.Run(ctx, req, r)
}

// New implements [attempt.Kind].
func (r *Reconciler) New() *sourcev1.GitRepository { return &sourcev1.GitRepository{} }

// Status implements [attempt.Kind].
func (r *Reconciler) Status(obj *sourcev1.GitRepository) attempt.Status {
	s := &obj.Status
	return attempt.Status{
		Suspended: obj.Spec.Suspend, Conditions: &s.Conditions, Artifact: &s.Artifact,
		ObservedGeneration: &s.ObservedGeneration, Handled: &s.ReconcileRequestStatus,
	}
}

// Timeout implements [attempt.Kind].
func (r *Reconciler) Timeout(obj *sourcev1.GitRepository) time.Duration {
	if t := obj.Spec.Timeout; t != nil && t.Duration > 0 {
		return t.Duration
	}
	return defaultTimeout
}

// Attempt implements [attempt.Kind].
func (r *Reconciler) Attempt(ctx context.Context, obj *sourcev1.GitRepository, o plan.Observed) Outcome {
	seen := r.observe(ctx, obj, o)
	defer seen.close()
	r.renew(obj, seen.Problem)
	out := r.act(ctx, obj, seen)
	out.Received = seen.received
	return out
}

// Remove implements [attempt.Kind].
func (r *Reconciler) Remove(_ context.Context, obj *sourcev1.GitRepository) error {
	r.Identity.Forget(sourcev1.GitRepositoryKind, obj.Namespace, obj.Name)
	r.requests.forget(client.ObjectKeyFromObject(obj))
	return r.Clones.Remove(string(obj.UID))
}
