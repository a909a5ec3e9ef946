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

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
)

const (
	// bySource is the index from a source's kind and name to the charts in it, within a namespace.
	bySource = ".spec.sourceRef"
	// byURL is the index from an address to the HelmRepositories that have it.
	byURL = ".spec.url"
)

// Setup registers the reconciler with a manager: it runs when the source has a new artifact, too.
func (r *Reconciler) Setup(ctx context.Context, mgr ctrl.Manager, o controller.Options) error {
	fields := mgr.GetFieldIndexer()
	if err := fields.IndexField(ctx, &sourcev1.HelmChart{}, bySource, sourceName); err != nil {
		return fmt.Errorf("index HelmCharts: %w", err)
	}
	if err := fields.IndexField(ctx, &sourcev1.HelmRepository{}, byURL, address); err != nil {
		return fmt.Errorf("index HelmRepositories: %w", err)
	}
	news := builder.WithPredicates(predicate.Funcs{
		UpdateFunc: newArtifact, CreateFunc: func(e event.CreateEvent) bool { return revision(e.Object) != "" },
		DeleteFunc: never[event.DeleteEvent], GenericFunc: never[event.GenericEvent],
	})
	return r.Runner.Setup(mgr, r, o, r, func(b *builder.Builder) {
		for _, kind := range []string{sourcev1.GitRepositoryKind, sourcev1.HelmRepositoryKind, sourcev1.BucketKind} {
			b.Watches(newSource(kind), handler.EnqueueRequestsFromMapFunc(charts(mgr.GetClient(), kind)), news)
		}
	})
}

func sourceName(obj client.Object) []string {
	chart, ok := obj.(*sourcev1.HelmChart)
	if !ok {
		return nil
	}
	return []string{sourceKey(chart.Spec.SourceRef.Kind, chart.Spec.SourceRef.Name)}
}

func sourceKey(kind, name string) string { return kind + "/" + name }

func address(obj client.Object) []string {
	repository, ok := obj.(*sourcev1.HelmRepository)
	if !ok {
		return nil
	}
	if normal := plan.NormalURL(repository.Spec.URL); normal != "" {
		return []string{normal}
	}
	return nil
}

// charts finds the charts in a source of a kind.
func charts(reader client.Reader, kind string) handler.MapFunc {
	return func(ctx context.Context, obj client.Object) []reconcile.Request {
		var list sourcev1.HelmChartList
		err := reader.List(ctx, &list, client.InNamespace(obj.GetNamespace()), client.MatchingFields{bySource: sourceKey(kind, obj.GetName())})
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

// revision is what a source's content is told from another by; empty without any. A repository in a registry has no artifact: what it
// says about how to reach that counts.
func revision(obj client.Object) string {
	if r, ok := obj.(*sourcev1.HelmRepository); ok && r.Spec.Type == sourcev1.HelmRepositoryTypeOCI {
		return fmt.Sprintf("generation %d", r.Generation)
	}
	source, ok := obj.(report.Object)
	if !ok || source.GetArtifact() == nil {
		return ""
	}
	return source.GetArtifact().Revision + " " + source.GetArtifact().Digest
}

func never[T any](T) bool { return false }
