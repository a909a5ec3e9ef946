package attempt

import (
	"fmt"

	"github.com/fluxcd/pkg/runtime/predicates"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Setup registers a reconciler with a manager: it runs when a spec changes, when somebody asks for it by annotation, at each
// interval, and when what it watches beside that says so.
func (r *Runner[O]) Setup(
	mgr ctrl.Manager, kind Kind[O], o controller.Options, reconciler reconcile.Reconciler, watch func(*builder.Builder),
) error {
	o.RateLimiter = r.Reporter.Schedule.Errors()
	wanted := predicate.Or(predicate.GenerationChangedPredicate{}, predicates.ReconcileRequestedPredicate{})
	b := ctrl.NewControllerManagedBy(mgr).For(kind.New(), builder.WithPredicates(wanted)).WithOptions(o)
	if watch != nil {
		watch(b)
	}
	if err := b.Complete(reconciler); err != nil {
		return fmt.Errorf("set up the %s controller: %w", r.Reporter.Kind, err)
	}
	return nil
}
