package gitrepository

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
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

// byInclude is the index from a GitRepository's name to those that include it, within a namespace.
const byInclude = ".spec.include.repository.name"

// Setup registers the reconciler with a manager. Beside what every kind runs for, it runs when an included GitRepository has
// another artifact, or is gone.
func (r *Reconciler) Setup(ctx context.Context, mgr ctrl.Manager, o controller.Options) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &sourcev1.GitRepository{}, byInclude, includedNames); err != nil {
		return fmt.Errorf("index includes: %w", err)
	}
	return r.Runner.Setup(mgr, r, o, r, func(b *builder.Builder) {
		b.WithEventFilter(predicate.NewPredicateFuncs(r.noteRequest)).
			Watches(&sourcev1.GitRepository{}, handler.EnqueueRequestsFromMapFunc(including(mgr.GetClient())),
				builder.WithPredicates(predicate.Funcs{
					UpdateFunc:  func(e event.UpdateEvent) bool { return revision(e.ObjectNew) != revision(e.ObjectOld) },
					GenericFunc: func(event.GenericEvent) bool { return false },
				}))
	})
}

// noteRequest notes when a request to reconcile is seen, which lets those share an answer that are asked for together.
func (r *Reconciler) noteRequest(obj client.Object) bool {
	source, ok := obj.(*sourcev1.GitRepository)
	if !ok || !requested(source) {
		return true
	}
	token, _ := meta.ReconcileAnnotationValue(source.Annotations)
	if r.requests.note(client.ObjectKeyFromObject(source), token, r.Clock()) {
		r.asks.Expect(upstream(source))
	}
	return true
}

// includedNames are the names of what a GitRepository includes.
func includedNames(obj client.Object) []string {
	source, ok := obj.(*sourcev1.GitRepository)
	if !ok {
		return nil
	}
	var names []string
	for _, include := range source.Spec.Include {
		names = append(names, include.GitRepositoryRef.Name)
	}
	return names
}

// including finds the GitRepositories that include one.
func including(reader client.Reader) handler.MapFunc {
	return func(ctx context.Context, obj client.Object) []reconcile.Request {
		var list sourcev1.GitRepositoryList
		err := reader.List(ctx, &list, client.InNamespace(obj.GetNamespace()), client.MatchingFields{byInclude: obj.GetName()})
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "GitRepositories that include another one wait for their interval")
			return nil
		}
		var requests []reconcile.Request
		for i := range list.Items {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
		return requests
	}
}

// revision is what an artifact is told from another by; empty without one.
func revision(obj client.Object) string {
	source, ok := obj.(*sourcev1.GitRepository)
	if !ok || source.Status.Artifact == nil {
		return ""
	}
	return source.Status.Artifact.Revision + " " + source.Status.Artifact.Digest
}
