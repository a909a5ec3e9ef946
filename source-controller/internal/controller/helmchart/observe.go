package helmchart

import (
	"context"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// observed is what an attempt knows before it decides.
type observed struct {
	plan.ChartObserved
	// source is the artifact that the chart is in; nil when there is a problem.
	source *meta.Artifact
	// sourceReady is set when the source says that it is.
	sourceReady bool
}

func (r *Reconciler) observe(ctx context.Context, obj *sourcev1.HelmChart, known plan.Observed) observed {
	o := observed{ChartObserved: plan.ChartObserved{Observed: known, Generation: obj.Generation, Status: obj.Status}}
	if o.Problem = plan.ValidateChart(obj.Spec); o.Problem != nil {
		return o
	}
	var repository *sourcev1.GitRepository
	if repository, o.Problem = r.source(ctx, obj); o.Problem == nil {
		o.source, o.Upstream = repository.Status.Artifact, repository.Status.Artifact.Revision
		o.sourceReady = apimeta.IsStatusConditionTrue(repository.Status.Conditions, meta.ReadyCondition)
	}
	return o
}

// source finds the chart's source, which has an artifact unless there is a problem: from the API server if somebody asked
// for a reconcile, who may have seen more than the cache.
func (r *Reconciler) source(ctx context.Context, obj *sourcev1.HelmChart) (*sourcev1.GitRepository, *plan.Problem) {
	reader := client.Reader(r.Reporter.Client)
	if token, ok := meta.ReconcileAnnotationValue(obj.Annotations); ok && token != obj.Status.LastHandledReconcileAt {
		reader = r.Reporter.Live
	}
	name := obj.Spec.SourceRef.Name
	var repository sourcev1.GitRepository
	err := reader.Get(ctx, client.ObjectKey{Namespace: obj.Namespace, Name: name}, &repository)
	if apierrors.IsNotFound(err) {
		return nil, plan.AwaitedProblem(plan.ReasonSourceUnavailable,
			"GitRepository %s/%s does not exist; create it, or correct spec.sourceRef.name", obj.Namespace, name)
	}
	if err != nil {
		return nil, plan.AwaitedProblem(plan.ReasonSourceUnavailable,
			"GitRepository %s/%s cannot be read: %s", obj.Namespace, name, plan.Unreadable(err))
	}
	if repository.Status.Artifact == nil {
		return nil, plan.TransientProblem(plan.ReasonNoSourceArtifact,
			"GitRepository %s/%s has no artifact yet", obj.Namespace, name)
	}
	return &repository, nil
}
