package helmchart

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// report ends an attempt with what its outcome calls for.
func (r *Reconciler) report(ctx context.Context, obj *sourcev1.HelmChart, out outcome, started time.Time) (ctrl.Result, error) {
	after := obj.DeepCopy()
	r.status(after, out)
	return r.Reporter.Finish(ctx, report.Ending{
		Before: obj, After: after, Decision: out.Decision, Problem: out.problem, Revision: out.revision,
		Made: out.made, Collected: out.collected,
		Change: change(), Interval: obj.Spec.Interval.Duration, Took: r.Clock().Sub(started),
	})
}

// status changes an object's status to what the outcome calls for.
func (r *Reconciler) status(obj *sourcev1.HelmChart, out outcome) {
	if token, ok := meta.ReconcileAnnotationValue(obj.Annotations); ok {
		out.status.SetLastHandledReconcileRequest(token)
		obj.Status.SetLastHandledReconcileRequest(token)
	}
	if out.Step == plan.Rest {
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
	if a := obj.Status.Artifact; a != nil { // --storage-adv-addr may be another one than it was
		a.URL = r.Store.URL(a.Path)
		o.Stamp(a)
		obj.Status.URL = r.Store.URL(store.Path(sourcev1.HelmChartKind, obj.Namespace, obj.Name, store.Latest))
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
