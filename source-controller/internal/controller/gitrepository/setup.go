package gitrepository

import (
	"fmt"

	"github.com/fluxcd/pkg/runtime/predicates"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// Setup registers the reconciler with a manager: it runs when a spec changes, when somebody asks for it by annotation,
// and at each interval.
func (r *Reconciler) Setup(mgr ctrl.Manager, o controller.Options) error {
	o.RateLimiter = r.Reporter.Schedule.Errors()
	wanted := predicate.Or(predicate.GenerationChangedPredicate{}, predicates.ReconcileRequestedPredicate{})
	err := ctrl.NewControllerManagedBy(mgr).
		For(&sourcev1.GitRepository{}, builder.WithPredicates(wanted)).
		WithOptions(o).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the GitRepository controller: %w", err)
	}
	return nil
}
