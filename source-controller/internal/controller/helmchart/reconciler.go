// Package helmchart reconciles HelmCharts: it packages a chart out of the artifact of a GitRepository or a Bucket, or downloads one
// from a HelmRepository.
//
// The path of an attempt is that of package attempt. What is a HelmChart's own: observe.go looks at the source, act.go makes the
// chart, from an artifact (build.go) or from a repository (pull.go). registry.go and index.go know the two sorts of repositories,
// dependencies.go finds those that charts depend on.
package helmchart

import (
	"context"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/artifact"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// timeout bounds an attempt, whatever the timeouts of the repositories say that it asks.
const timeout = 10 * time.Minute

// Outcome is how an attempt ended.
type Outcome = attempt.Outcome[*sourcev1.HelmChart]

// Clouds logs in to the registries of clouds.
type Clouds interface {
	Registry(ctx context.Context, provider string, s identity.Subject, repository string) (secret.Login, error)
}

// Signatures looks for the signature of what has a digest, by somebody who is trusted.
type Signatures interface {
	Verify(ctx context.Context, asked artifact.Asked, repo oci.Name, digest string, o oci.Options) (*plan.Verified, *plan.Problem)
}

// Reconciler reconciles HelmCharts. Every exported field must be set.
type Reconciler struct {
	attempt.Runner[*sourcev1.HelmChart]

	// Secrets reads Secrets.
	Secrets secret.Reader
	// Repositories asks servers, Indexes keeps what is where in their indexes.
	Repositories *helmrepo.Client
	Indexes      *helmrepo.Indexes
	// Connections are those to registries, Clouds logs in to them where spec.provider of the HelmRepository says so.
	Connections *wire.Pool
	Clouds      Clouds
	// Signatures verifies charts in registries where spec.verify says so.
	Signatures Signatures
	// MaxChart is how large a packaged chart may be, in bytes.
	MaxChart int64

	memories memories
}

// Reconcile makes one attempt.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	return r.Run(ctx, req, r)
}

// New implements [attempt.Kind].
func (r *Reconciler) New() *sourcev1.HelmChart { return &sourcev1.HelmChart{} }

// Status implements [attempt.Kind].
func (r *Reconciler) Status(obj *sourcev1.HelmChart) attempt.Status {
	s := &obj.Status
	return attempt.Status{
		Suspended: obj.Spec.Suspend, Conditions: &s.Conditions, Artifact: &s.Artifact,
		ObservedGeneration: &s.ObservedGeneration, Handled: &s.ReconcileRequestStatus, URL: &s.URL,
	}
}

// Timeout implements [attempt.Kind].
func (r *Reconciler) Timeout(*sourcev1.HelmChart) time.Duration { return timeout }

// Attempt implements [attempt.Kind].
func (r *Reconciler) Attempt(ctx context.Context, obj *sourcev1.HelmChart, o plan.Observed) Outcome {
	seen := r.observe(ctx, obj, o)
	defer seen.close()
	out := r.act(ctx, obj, seen)
	out.Received = seen.received()
	return out
}

// Restore implements [attempt.Kind]: a chart is made of its source, or not at all.
func (r *Reconciler) Restore(context.Context, *sourcev1.HelmChart) bool { return false }

// Remove implements [attempt.Kind].
func (r *Reconciler) Remove(_ context.Context, obj *sourcev1.HelmChart) error {
	r.memories.forget(obj.UID)
	return nil
}
