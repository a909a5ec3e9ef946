package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/keep"
)

// dependencyIndex finds the subjects that depend on one.
const dependencyIndex = "sluice.dev/dependsOn"

// changedPriority puts subjects with new content before all others.
const changedPriority = 100

// bundle is how long status changes of objects are collected before health is looked at.
const bundle = 300 * time.Millisecond

// queue is what a watch adds subjects to.
type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// Options of Setup.
type Options struct {
	// Concurrent is how many subjects of the kind are worked on at once.
	Concurrent int
	// RateLimiter spaces out passes that end with an error.
	RateLimiter workqueue.TypedRateLimiter[ctrl.Request]
	// Wakes is where the kind's wakes come from; see pump.
	Wakes <-chan event.TypedGenericEvent[wake]
}

// Setup registers the reconciler and its watches with a manager.
func (r *Reconciler) Setup(ctx context.Context, mgr manager.Manager, o Options) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, r.Kind.newObject(), dependencyIndex, r.dependencyKeys); err != nil {
		return fmt.Errorf("index %s by dependency: %w", r.Kind.name, err)
	}
	own := predicate.Or(predicate.GenerationChangedPredicate{}, requested(), r.handedOver())
	b := ctrl.NewControllerManagedBy(mgr).
		Named(strings.ToLower(r.Kind.name)).
		For(r.Kind.newObject(), builder.WithPredicates(own)).
		Watches(r.Kind.newObject(), handler.Funcs{UpdateFunc: r.dependencyMoved}).
		Watches(&v1alpha1.Render{}, handler.Funcs{CreateFunc: r.renderCreated, UpdateFunc: r.renderUpdated}).
		Watches(&v1alpha1.Sync{}, handler.Funcs{DeleteFunc: r.syncDeleted}).
		Watches(&appsv1.Deployment{}, handler.EnqueueRequestsFromMapFunc(r.everyone), builder.WithPredicates(fluxMoved())).
		WatchesRawSource(source.TypedChannel(o.Wakes, handler.TypedFuncs[wake, ctrl.Request]{GenericFunc: wakeUp})).
		WithOptions(controller.Options{MaxConcurrentReconciles: o.Concurrent, RateLimiter: o.RateLimiter})
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("set up %s controller: %w", r.Kind.name, err)
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
	var keys []string
	for _, ref := range r.Kind.wrap(o).dependsOn() {
		namespace := ref.Namespace
		if namespace == "" {
			namespace = o.GetNamespace()
		}
		keys = append(keys, namespace+"/"+ref.Name)
	}
	return keys
}

// dependencyMoved looks at once at whatever depends on a subject that became ready, or stopped being so.
func (r *Reconciler) dependencyMoved(ctx context.Context, e event.UpdateEvent, q queue) {
	if r.Kind.wrap(e.ObjectOld).status() == r.Kind.wrap(e.ObjectNew).status() {
		return
	}
	list := r.Kind.newList()
	name := client.ObjectKeyFromObject(e.ObjectNew).String()
	if err := r.Client.List(ctx, list, client.MatchingFields{dependencyIndex: name}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "dependents could not be listed", "dependency", name)
		return
	}
	for _, o := range r.Kind.items(list) {
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
	for _, name := range r.Shared.waiting(sourceKey(render.Source), r.Kind.name) {
		q.Add(ctrl.Request{NamespacedName: name})
	}
	if render.Subject.Kind != r.Kind.name {
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
	if !ok || record.Subject.Kind != r.Kind.name {
		return
	}
	key := keep.Key{Kind: r.Kind.name, Namespace: record.Namespace, Name: record.Subject.Name}
	r.memories.of(key).mailbox.loseRecord()
	q.Add(ctrl.Request{NamespacedName: types.NamespacedName{Namespace: key.Namespace, Name: key.Name}})
}

func contentTag(r *v1alpha1.Render) string {
	if r.Rendering == nil {
		return ""
	}
	return r.Rendering.Tag
}

// everyone lists all subjects: whether Flux runs concerns each of them.
func (r *Reconciler) everyone(ctx context.Context, _ client.Object) []ctrl.Request {
	list := r.Kind.newList()
	if err := r.Client.List(ctx, list); err != nil {
		return nil
	}
	var all []ctrl.Request
	for _, o := range r.Kind.items(list) {
		all = append(all, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(o)})
	}
	return all
}

// fluxMoved passes what starts or stops one of Flux's own controllers.
func fluxMoved() predicate.Predicate {
	runs := func(o client.Object) bool {
		d, ok := o.(*appsv1.Deployment)
		return ok && isFluxDeployment(d)
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return runs(e.Object) },
		DeleteFunc: func(e event.DeleteEvent) bool { return runs(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool { return runs(e.ObjectOld) != runs(e.ObjectNew) },
	}
}

func wakeUp(_ context.Context, e wakeEvent, q queue) {
	req := ctrl.Request{NamespacedName: e.Object.name}
	if e.Object.soon {
		q.AddAfter(req, bundle)
		return
	}
	q.Add(req)
}

// signals is where a pump takes its signals from; *drift.Queue outside of tests.
type signals interface {
	Next(ctx context.Context) (drift.Signal, error)
}

// pump carries drift signals to the subjects they are about. It implements manager.Runnable; make it with newPump.
type pump struct {
	signals signals
	wakes   map[string]chan wakeEvent
	targets map[string]*Reconciler
}

// wakeBuffer is how many wakes wait for their controller; the pump waits when there are more.
const wakeBuffer = 1024

// newPump returns a pump for reconcilers of different kinds.
func newPump(from signals, reconcilers ...*Reconciler) *pump {
	p := &pump{signals: from, wakes: make(map[string]chan wakeEvent), targets: make(map[string]*Reconciler)}
	for _, r := range reconcilers {
		p.wakes[r.Kind.group] = make(chan wakeEvent, wakeBuffer)
		p.targets[r.Kind.group] = r
	}
	return p
}

// wakesOf is the channel for the reconciler's Options.
func (p *pump) wakesOf(r *Reconciler) <-chan wakeEvent { return p.wakes[r.Kind.group] }

// Start carries signals until the context ends. Before that it has what is kept of the gone forgotten. A signal about a
// subject that was not worked on yet says nothing that its first pass does not find out; one about a subject that is gone,
// or is in a namespace or has labels that this process does not watch, concerns nobody here.
func (p *pump) Start(ctx context.Context) error {
	for _, r := range p.targets {
		p.sweep(ctx, r)
	}
	for {
		signal, err := p.signals.Next(ctx)
		if err != nil {
			return context.Cause(ctx)
		}
		r, known := p.targets[signal.Owner.Group]
		if !known {
			continue
		}
		key := keep.Key{Kind: r.Kind.name, Namespace: signal.Owner.Namespace, Name: signal.Owner.Name}
		if mem, found := r.memories.find(key); found {
			mem.mailbox.put(signal)
			p.wake(ctx, r, key, signal.Type == drift.StatusChanged)
		}
	}
}

func (p *pump) wake(ctx context.Context, r *Reconciler, key keep.Key, soon bool) {
	name := types.NamespacedName{Namespace: key.Namespace, Name: key.Name}
	select {
	case p.wakes[r.Kind.group] <- wakeEvent{Object: wake{name: name, soon: soon}}:
	case <-ctx.Done():
	}
}

// sweep has the reconciler look at subjects that something is kept of and that went away while no process was there to
// see it: it forgets them.
func (p *pump) sweep(ctx context.Context, r *Reconciler) {
	keys, err := r.Store.Keys(r.Kind.name)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "what is kept of subjects that are gone could not be found", "kind", r.Kind.name)
		return
	}
	for _, key := range keys {
		err := r.Client.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, r.Kind.newObject())
		if apierrors.IsNotFound(err) {
			p.wake(ctx, r, key, false)
		}
	}
}
