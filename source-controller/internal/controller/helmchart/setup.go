package helmchart

import (
	"context"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// bySource is the index from a GitRepository's name to the charts in it, within a namespace.
const bySource = ".spec.sourceRef.gitRepository"

// Setup registers the reconciler with a manager: it runs when the source has a new artifact, too.
func (r *Reconciler) Setup(ctx context.Context, mgr ctrl.Manager, o controller.Options) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &sourcev1.HelmChart{}, bySource, sourceName); err != nil {
		return fmt.Errorf("index HelmCharts: %w", err)
	}
	return r.Runner.Setup(mgr, r, o, r, func(b *builder.Builder) {
		b.Watches(&sourcev1.GitRepository{}, handler.EnqueueRequestsFromMapFunc(charts(mgr.GetClient())),
			builder.WithPredicates(predicate.Funcs{
				UpdateFunc: newArtifact, CreateFunc: func(e event.CreateEvent) bool { return revision(e.Object) != "" },
				DeleteFunc: never[event.DeleteEvent], GenericFunc: never[event.GenericEvent],
			}))
	})
}

func sourceName(obj client.Object) []string {
	chart, ok := obj.(*sourcev1.HelmChart)
	if !ok || chart.Spec.SourceRef.Kind != sourcev1.GitRepositoryKind {
		return nil
	}
	return []string{chart.Spec.SourceRef.Name}
}

// charts finds the charts in a source.
func charts(reader client.Reader) handler.MapFunc {
	return func(ctx context.Context, obj client.Object) []reconcile.Request {
		var list sourcev1.HelmChartList
		err := reader.List(ctx, &list, client.InNamespace(obj.GetNamespace()), client.MatchingFields{bySource: obj.GetName()})
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "charts of a source wait for their interval")
			return nil
		}
		var requests []reconcile.Request
		for i := range list.Items {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
		return requests
	}
}

func newArtifact(e event.UpdateEvent) bool {
	now := revision(e.ObjectNew)
	return now != "" && now != revision(e.ObjectOld)
}

// revision is what an artifact is told from another by; empty without one.
func revision(obj client.Object) string {
	repository, ok := obj.(*sourcev1.GitRepository)
	if !ok || repository.Status.Artifact == nil {
		return ""
	}
	return repository.Status.Artifact.Revision + " " + repository.Status.Artifact.Digest
}

func never[T any](T) bool { return false }
