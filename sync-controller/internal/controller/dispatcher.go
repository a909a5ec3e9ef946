package controller

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// bundle is how long status changes of objects are collected before health is looked at.
const bundle = 300 * time.Millisecond

// triggerBuffer is how many triggers wait for their controller; the dispatcher waits when there are more.
const triggerBuffer = 1024

// trigger is a reason to look at a subject that no watch of the API server brings.
type trigger struct {
	name types.NamespacedName
	// bundled is set for what may be looked at with what follows within a moment.
	bundled bool
}

type triggerEvent = event.TypedGenericEvent[trigger]

// triggered puts the subject into its controller's queue.
func triggered(_ context.Context, e triggerEvent, q queue) {
	req := ctrl.Request{NamespacedName: e.Object.name}
	if e.Object.bundled {
		q.AddAfter(req, bundle)
		return
	}
	q.Add(req)
}

// signals is where a dispatcher takes its signals from; *drift.Queue outside of tests.
type signals interface {
	Next(ctx context.Context) (drift.Signal, error)
}

// dispatcher carries drift signals to the subjects they are about. It implements manager.Runnable; make it with
// newDispatcher.
type dispatcher struct {
	signals     signals
	triggers    map[string]chan triggerEvent
	reconcilers map[string]*Reconciler
}

// newDispatcher returns a dispatcher for reconcilers of different kinds.
func newDispatcher(from signals, reconcilers ...*Reconciler) *dispatcher {
	d := &dispatcher{signals: from, triggers: make(map[string]chan triggerEvent), reconcilers: make(map[string]*Reconciler)}
	for _, r := range reconcilers {
		d.triggers[r.Kind.Group] = make(chan triggerEvent, triggerBuffer)
		d.reconcilers[r.Kind.Group] = r
	}
	return d
}

// triggersOf is the channel for the reconciler's Options.
func (d *dispatcher) triggersOf(r *Reconciler) <-chan triggerEvent { return d.triggers[r.Kind.Group] }

// Start carries signals until the context ends. Before that it has what is kept of the gone forgotten. A signal about a
// subject that was not worked on yet says nothing that its first reconciliation does not find out; one about a subject that
// is gone, or is in a namespace or has labels that this process does not watch, concerns nobody here.
func (d *dispatcher) Start(ctx context.Context) error {
	for _, r := range d.reconcilers {
		d.sweep(ctx, r)
	}
	for {
		signal, err := d.signals.Next(ctx)
		if err != nil {
			return context.Cause(ctx)
		}
		r, known := d.reconcilers[signal.Owner.Group]
		if !known {
			continue
		}
		key := subject.Key{Kind: r.Kind.Name, Namespace: signal.Owner.Namespace, Name: signal.Owner.Name}
		if m, found := r.memories.find(key); found {
			m.pending.Put(signal)
			d.trigger(ctx, r, key, signal.Type == drift.StatusChanged)
		}
	}
}

func (d *dispatcher) trigger(ctx context.Context, r *Reconciler, key subject.Key, bundled bool) {
	select {
	case d.triggers[r.Kind.Group] <- triggerEvent{Object: trigger{name: key.Object(), bundled: bundled}}:
	case <-ctx.Done():
	}
}

// sweep has the reconciler look at subjects that something is kept of and that went away while no process was there to
// see it: it forgets them.
func (d *dispatcher) sweep(ctx context.Context, r *Reconciler) {
	keys, err := r.Store.Keys(r.Kind.Name)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "what is kept of subjects that are gone could not be found", "controllerKind", r.Kind.Name)
		return
	}
	for _, key := range keys {
		err := r.Client.Get(ctx, key.Object(), r.Kind.NewObject())
		if apierrors.IsNotFound(err) {
			d.trigger(ctx, r, key, false)
		}
	}
}
