// Package helmchart reconciles HelmCharts: it packages a chart out of the artifact of a GitRepository.
//
// The path of an attempt is that of package attempt. What is a HelmChart's own: observe.go looks at the source, act.go makes
// the chart.
package helmchart

import (
	"context"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// timeout bounds an attempt, which works on local files only.
const timeout = 2 * time.Minute

// Outcome is how an attempt ended.
type Outcome = attempt.Outcome[*sourcev1.HelmChart]

// Reconciler reconciles HelmCharts. Every field must be set.
type Reconciler struct {
	attempt.Runner[*sourcev1.HelmChart]
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
	return r.act(ctx, obj, r.observe(ctx, obj, o))
}

// Restore implements [attempt.Kind]: a chart is made of its source, or not at all.
func (r *Reconciler) Restore(context.Context, *sourcev1.HelmChart) bool { return false }

// Remove implements [attempt.Kind].
func (r *Reconciler) Remove(context.Context, *sourcev1.HelmChart) error { return nil }
