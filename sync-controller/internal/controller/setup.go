package controller

import (
	"context"
	"fmt"
	"strings"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/coexist"
	"github.com/sluice-gitops/sluice/sync-controller/internal/dependency"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// dependencyIndex finds the subjects that depend on one.
const dependencyIndex = "sluice.dev/dependsOn"

// changedPriority puts subjects with new content before all others.
const changedPriority = 100

// queue is what a watch adds subjects to.
type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// Options of Setup.
type Options struct {
	// Concurrent is how many subjects of the kind are worked on at once.
	Concurrent int
	// RateLimiter spaces out reconciliations that end with an error.
	RateLimiter workqueue.TypedRateLimiter[ctrl.Request]
	// Triggers is where the kind's triggers come from; see dispatcher.
	Triggers <-chan triggerEvent
}

// Setup registers the reconciler and its watches with a manager.
func (r *Reconciler) Setup(ctx context.Context, mgr manager.Manager, o Options) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, r.Kind.NewObject(), dependencyIndex, r.dependencyKeys); err != nil {
		return fmt.Errorf("index %s by dependency: %w", r.Kind.Name, err)
	}
	own := predicate.Or(predicate.GenerationChangedPredicate{}, requested(), r.handedOver())
	b := ctrl.NewControllerManagedBy(mgr).
		Named(strings.ToLower(r.Kind.Name)).
		For(r.Kind.NewObject(), builder.WithPredicates(own)).
		Watches(r.Kind.NewObject(), handler.Funcs{UpdateFunc: r.dependencyMoved}).
		Watches(&v1alpha1.Render{}, handler.Funcs{CreateFunc: r.renderCreated, UpdateFunc: r.renderUpdated}).
		Watches(&v1alpha1.Sync{}, handler.Funcs{DeleteFunc: r.syncDeleted}).
		Watches(&appsv1.Deployment{}, handler.EnqueueRequestsFromMapFunc(r.everyone), builder.WithPredicates(fluxMoved())).
		WatchesRawSource(source.TypedChannel(o.Triggers, handler.TypedFuncs[trigger, ctrl.Request]{GenericFunc: triggered})).
		WithOptions(controller.Options{MaxConcurrentReconciles: o.Concurrent, RateLimiter: o.RateLimiter})
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("set up %s controller: %w", r.Kind.Name, err)
	}
	return nil
}

// requested passes updates by which somebody asked for a reconciliation, or took a finalizer off.
func requested() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld, e.ObjectNew
		return before.GetAnnotations()[fluxmeta.ReconcileRequestAnnotation] != after.GetAnnotations()[fluxmeta.ReconcileRequestAnnotation] ||
			len(after.GetFinalizers()) < len(before.GetFinalizers())
	}}
}

// handedOver passes updates of labels by which a subject becomes, or ceases to be, this process' own.
func (r *Reconciler) handedOver() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool { return r.selects(e.ObjectOld) != r.selects(e.ObjectNew) }}
}

// dependencyKeys are what an object depends on, as namespace/name.
func (r *Reconciler) dependencyKeys(o client.Object) []string {
	return dependency.Keys(o.GetNamespace(), r.Kind.Of(o).DependsOn())
}

// dependencyMoved looks at once at whatever depends on a subject that became ready, or stopped being so.
func (r *Reconciler) dependencyMoved(ctx context.Context, e event.UpdateEvent, q queue) {
	if r.Kind.Of(e.ObjectOld).Reported() == r.Kind.Of(e.ObjectNew).Reported() {
		return
	}
	list := r.Kind.NewList()
	name := client.ObjectKeyFromObject(e.ObjectNew).String()
	if err := r.Client.List(ctx, list, client.MatchingFields{dependencyIndex: name}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "dependents could not be listed", "dependency", name)
		return
	}
	for _, o := range r.Kind.Items(list) {
		q.Add(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(o)})
	}
}

func (r *Reconciler) renderCreated(_ context.Context, e event.CreateEvent, q queue) {
	render, ok := e.Object.(*v1alpha1.Render)
	switch {
	case !ok:
	case e.IsInInitialList:
		r.renderMoved(render, handler.LowPriority, q)
	default:
		r.renderMoved(render, changedPriority, q)
	}
}

func (r *Reconciler) renderUpdated(_ context.Context, e event.UpdateEvent, q queue) {
	old, isRender := e.ObjectOld.(*v1alpha1.Render)
	render, ok := e.ObjectNew.(*v1alpha1.Render)
	switch {
	case !ok:
	case isRender && contentTag(old) != contentTag(render):
		r.renderMoved(render, changedPriority, q)
	default:
		r.renderMoved(render, 0, q)
	}
}

// renderMoved looks at the record's subject, and at those whose prune waits for it.
func (r *Reconciler) renderMoved(render *v1alpha1.Render, priority int, q queue) {
	for _, name := range r.Gates.Waiting(subject.SourceKey(render.Source), r.Kind.Name) {
		q.Add(ctrl.Request{NamespacedName: name})
	}
	if render.Subject.Kind != r.Kind.Name {
		return
	}
	req := ctrl.Request{NamespacedName: types.NamespacedName{Namespace: render.Namespace, Name: render.Subject.Name}}
	if prioritised, ok := q.(priorityqueue.PriorityQueue[ctrl.Request]); ok {
		prioritised.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, req)
		return
	}
	q.Add(req)
}

// syncDeleted brings a record back that somebody deleted.
func (r *Reconciler) syncDeleted(_ context.Context, e event.DeleteEvent, q queue) {
	record, ok := e.Object.(*v1alpha1.Sync)
	if !ok || record.Subject.Kind != r.Kind.Name {
		return
	}
	key := subject.Key{Kind: r.Kind.Name, Namespace: record.Namespace, Name: record.Subject.Name}
	r.memories.of(key).recordDeleted.Store(true)
	q.Add(ctrl.Request{NamespacedName: key.Object()})
}

func contentTag(r *v1alpha1.Render) string {
	if r.Rendering == nil {
		return ""
	}
	return r.Rendering.Tag
}

// everyone lists all subjects: whether Flux runs concerns each of them.
func (r *Reconciler) everyone(ctx context.Context, _ client.Object) []ctrl.Request {
	list := r.Kind.NewList()
	if err := r.Client.List(ctx, list); err != nil {
		return nil
	}
	var all []ctrl.Request
	for _, o := range r.Kind.Items(list) {
		all = append(all, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(o)})
	}
	return all
}

// fluxMoved passes what starts or stops one of Flux's own controllers.
func fluxMoved() predicate.Predicate {
	runs := func(o client.Object) bool {
		d, ok := o.(*appsv1.Deployment)
		return ok && coexist.Runs(d)
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return runs(e.Object) },
		DeleteFunc: func(e event.DeleteEvent) bool { return runs(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool { return runs(e.ObjectOld) != runs(e.ObjectNew) },
	}
}

// Reannounce sends the current state of every subject to the bus again; repeating is harmless.
func (r *Reconciler) Reannounce(ctx context.Context) {
	list := r.Kind.NewList()
	if err := r.Client.List(ctx, list); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "states could not be announced again", "controllerKind", r.Kind.Name)
		return
	}
	for _, o := range r.Kind.Items(list) {
		if r.selects(o) {
			r.Events.State(r.Kind.Of(o), "")
		}
	}
}
