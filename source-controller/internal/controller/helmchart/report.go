package helmchart

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
)

// report writes the status that an outcome calls for, says what is new, and returns when to look again.
func (r *Reconciler) report(ctx context.Context, obj *sourcev1.HelmChart, out outcome) (ctrl.Result, error) {
	if ctx.Err() != nil {
		// The process is ending: what failed because of that is nobody's news.
		return ctrl.Result{}, nil
	}
	after := obj.DeepCopy()
	r.status(after, out)
	if err := r.Reporter.Status(ctx, obj, after); err != nil {
		return ctrl.Result{}, err
	}
	if out.step == plan.Rest {
		return ctrl.Result{}, nil
	}
	r.Reporter.Tell(obj, after, change())
	if out.step == plan.Build && out.problem == nil {
		ctrl.LoggerFrom(ctx).Info("stored chart", "version", after.Status.Artifact.Revision, "digest", after.Status.Artifact.Digest)
	}
	switch {
	case out.problem == nil:
		return ctrl.Result{RequeueAfter: plan.Jitter(obj.Spec.Interval.Duration, r.Jitter, rand.Float64())}, nil
	case out.problem.Terminal:
		ctrl.LoggerFrom(ctx).Info("stalled", "reason", out.problem.Reason, "message", out.problem.Message)
		return ctrl.Result{}, nil
	case out.problem.Reason == plan.ReasonNoSourceArtifact, out.problem.Reason == plan.ReasonSourceUnavailable:
		// The source is watched; this is for what a watch does not tell.
		ctrl.LoggerFrom(ctx).Info("waiting for the source", "message", out.problem.Message)
		return ctrl.Result{RequeueAfter: r.Dependency}, nil
	}
	r.Retry.Interval(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(obj)}, obj.Spec.Interval.Duration)
	return ctrl.Result{}, out.problem
}

// status changes an object's status to what the outcome calls for.
func (r *Reconciler) status(obj *sourcev1.HelmChart, out outcome) {
	if token, ok := meta.ReconcileAnnotationValue(obj.Annotations); ok {
		out.status.SetLastHandledReconcileRequest(token)
		obj.Status.SetLastHandledReconcileRequest(token)
	}
	if out.step == plan.Rest {
		return
	}
	o := plan.Outcome{
		Generation: obj.Generation, Problem: out.problem, Reason: sourcev1.ChartPackageSucceededReason,
		Artifact: out.status.Artifact, Stored: out.stored, Now: r.Clock(),
	}
	if out.problem == nil {
		o.Message = packaged(out.status)
		obj.Status = out.status
	}
	obj.Status.Conditions = plan.Conditions(obj.Status.Conditions, o)
	obj.Status.ObservedGeneration = plan.ObservedGeneration(obj.Status.ObservedGeneration, o)
}

// packaged says what was packaged, from nothing but the status.
func packaged(s sourcev1.HelmChartStatus) string {
	text := fmt.Sprintf("packaged '%s' chart with version '%s'", s.ObservedChartName, s.Artifact.Revision)
	if len(s.ObservedValuesFiles) > 0 {
		text += fmt.Sprintf(" and merged values files %v", s.ObservedValuesFiles)
	}
	return text
}

func change() report.Change {
	return report.Change{Reason: sourcev1.ChartPackageSucceededReason}
}

// Reannounce says on the bus again where an object stands.
func (r *Reconciler) Reannounce(obj *sourcev1.HelmChart) {
	r.Reporter.Reannounce(obj, change())
}
