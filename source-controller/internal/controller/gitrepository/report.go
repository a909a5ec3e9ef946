package gitrepository

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
func (r *Reconciler) report(ctx context.Context, obj *sourcev1.GitRepository, out outcome) (ctrl.Result, error) {
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
	r.Reporter.Tell(obj, after, change(out.subject))
	if out.step == plan.Build && out.problem == nil {
		ctrl.LoggerFrom(ctx).Info("stored artifact", "revision", out.artifact.Revision, "digest", out.artifact.Digest)
	}
	switch {
	case out.problem == nil:
		return ctrl.Result{RequeueAfter: plan.Jitter(obj.Spec.Interval.Duration, r.Jitter, rand.Float64())}, nil
	case out.problem.Terminal:
		ctrl.LoggerFrom(ctx).Info("stalled", "reason", out.problem.Reason, "message", out.problem.Message)
		return ctrl.Result{}, nil
	}
	r.Retry.Interval(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(obj)}, obj.Spec.Interval.Duration)
	return ctrl.Result{}, out.problem
}

// status changes an object's status to what the outcome calls for.
func (r *Reconciler) status(obj *sourcev1.GitRepository, out outcome) {
	if token, ok := meta.ReconcileAnnotationValue(obj.Annotations); ok {
		obj.Status.SetLastHandledReconcileRequest(token)
	}
	if out.step == plan.Rest {
		return
	}
	o := plan.Outcome{
		Generation: obj.Generation, Problem: out.problem, Reason: meta.SucceededReason,
		Upstream: out.upstream, Artifact: out.artifact, Stored: out.stored, Now: r.Clock(),
	}
	if out.problem == nil {
		o.Message = fmt.Sprintf("stored artifact for revision '%s'", out.artifact.Revision)
		obj.Status.Artifact = out.artifact
		obj.Status.ObservedIgnore = obj.Spec.Ignore
		obj.Status.ObservedSparseCheckout = obj.Spec.SparseCheckout
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
