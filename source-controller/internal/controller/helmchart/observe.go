package helmchart

import (
	"context"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
)

// observed is what an attempt knows before it decides.
type observed struct {
	plan.ChartObserved

	// source is the artifact that the chart is in; nil when there is a problem, or the chart is in a registry. sourceReady is set
	// when the source says that it is.
	source      *meta.Artifact
	sourceReady bool
	// repository is the source, if it is one; registry is what is known of it if that is where it is.
	repository *sourcev1.HelmRepository
	registry   *registry
	// downloaded is how many bytes came from a server.
	downloaded int64
}

func (o *observed) close() {
	if o.registry != nil {
		o.registry.done()
	}
}

func (o *observed) received() int64 {
	n := o.downloaded
	if o.registry != nil && o.registry.repo != nil {
		n += o.registry.repo.Received()
	}
	return n
}

func (r *Reconciler) observe(ctx context.Context, obj *sourcev1.HelmChart, known plan.Observed) *observed {
	o := &observed{ChartObserved: plan.ChartObserved{Observed: known, Generation: obj.Generation, Status: obj.Status}}
	if o.Problem = plan.ValidateChart(obj.Spec); o.Problem != nil {
		return o
	}
	source, problem := r.source(ctx, obj)
	if problem != nil {
		o.Problem = problem
		return o
	}
	if repository, ok := source.(*sourcev1.HelmRepository); ok {
		if o.repository = repository; repository.Spec.Type == sourcev1.HelmRepositoryTypeOCI {
			o.Problem = r.ask(ctx, obj, o)
			return o
		}
		if obj.Spec.Verify != nil {
			o.Problem = plan.FetchProblem(plan.ReasonInvalidSpec,
				"spec.verify: only charts in a registry can be verified, and HelmRepository %s/%s is not of type oci; remove it", obj.Namespace, repository.Name)
			o.Problem.Terminal = true
			return o
		}
	}
	if o.source = source.GetArtifact(); o.source == nil {
		o.Problem = plan.TransientProblem(plan.ReasonNoSourceArtifact,
			"%s %s/%s has no artifact yet", obj.Spec.SourceRef.Kind, obj.Namespace, obj.Spec.SourceRef.Name)
		return o
	}
	o.Upstream = o.source.Revision
	o.sourceReady = apimeta.IsStatusConditionTrue(source.GetConditions(), meta.ReadyCondition)
	return o
}

// source reads the chart's source: from the API server if somebody asked for a reconcile, who may have seen more than the cache.
func (r *Reconciler) source(ctx context.Context, obj *sourcev1.HelmChart) (report.Object, *plan.Problem) {
	reader := client.Reader(r.Reporter.Client)
	if token, ok := meta.ReconcileAnnotationValue(obj.Annotations); ok && token != obj.Status.LastHandledReconcileAt {
		reader = r.Reporter.Live
	}
	ref := obj.Spec.SourceRef
	source := newSource(ref.Kind)
	err := reader.Get(ctx, client.ObjectKey{Namespace: obj.Namespace, Name: ref.Name}, source)
	if apierrors.IsNotFound(err) {
		return nil, plan.AwaitedProblem(plan.ReasonSourceUnavailable,
			"%s %s/%s does not exist; create it, or correct spec.sourceRef.name", ref.Kind, obj.Namespace, ref.Name)
	}
	if err != nil {
		return nil, plan.AwaitedProblem(plan.ReasonSourceUnavailable,
			"%s %s/%s cannot be read: %s", ref.Kind, obj.Namespace, ref.Name, plan.Unreadable(err))
	}
	return source, nil
}

// newSource is an empty object of a kind that charts come from, of which there are three.
func newSource(kind string) report.Object {
	switch kind {
	case sourcev1.HelmRepositoryKind:
		return &sourcev1.HelmRepository{}
	case sourcev1.BucketKind:
		return &sourcev1.Bucket{}
	}
	return &sourcev1.GitRepository{}
}
