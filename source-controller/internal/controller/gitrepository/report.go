package gitrepository

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
)

// report ends an attempt with what its outcome calls for.
func (r *Reconciler) report(ctx context.Context, obj *sourcev1.GitRepository, out outcome, started time.Time) (ctrl.Result, error) {
	after := obj.DeepCopy()
	r.status(after, out)
	r.Reporter.Metrics.Received(sourcev1.GitRepositoryKind, out.received)
	return r.Reporter.Finish(ctx, report.Ending{
		Before: obj, After: after, Decision: out.Decision, Problem: out.problem, Revision: out.upstream,
		Made: out.made, Restored: out.restored, Collected: out.collected,
		Change: change(out.subject), Interval: obj.Spec.Interval.Duration, Took: r.Clock().Sub(started),
	})
}

// status changes an object's status to what the outcome calls for.
func (r *Reconciler) status(obj *sourcev1.GitRepository, out outcome) {
	if token, ok := meta.ReconcileAnnotationValue(obj.Annotations); ok {
		obj.Status.SetLastHandledReconcileRequest(token)
	}
	if out.Step == plan.Rest {
		return
	}
	o := plan.Outcome{
		Generation: obj.Generation, Problem: out.problem, Reason: meta.SucceededReason,
		Upstream: out.upstream, Artifact: out.artifact, Stored: out.stored, Now: r.Clock(),
	}
	if out.problem == nil {
		o.Message = fmt.Sprintf("stored artifact for revision '%s'", out.artifact.Revision)
		obj.Status.Artifact = out.artifact.DeepCopy()
		obj.Status.ObservedIgnore = obj.Spec.Ignore
		obj.Status.ObservedSparseCheckout = obj.Spec.SparseCheckout
		// What Flux may have left does not hold for this artifact.
		obj.Status.ObservedRecurseSubmodules, obj.Status.ObservedInclude, obj.Status.IncludedArtifacts = false, nil, nil
		obj.Status.SourceVerificationMode = nil
	}
	if a := obj.Status.Artifact; a != nil {
		a.URL = r.Store.URL(a.Path) // --storage-adv-addr may be another one than it was
		o.Stamp(a)
	}
	obj.Status.Conditions = plan.Conditions(obj.Status.Conditions, o)
	obj.Status.ObservedGeneration = plan.ObservedGeneration(obj.Status.ObservedGeneration, o)
}

// change is what is said about a new artifact; without the commit's subject, the Ready condition says it.
func change(subject string) report.Change {
	c := report.Change{Reason: plan.ReasonNewArtifact}
	if subject != "" {
		c.Message = fmt.Sprintf("stored artifact for commit '%s'", subject)
	}
	return c
}

// Reannounce says on the bus again where an object stands.
func (r *Reconciler) Reannounce(obj *sourcev1.GitRepository) {
	r.Reporter.Reannounce(obj, change(""))
}
