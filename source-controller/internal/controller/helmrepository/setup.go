package helmrepository

import (
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
)

// Setup registers the reconciler with a manager.
func (r *Reconciler) Setup(mgr ctrl.Manager, o controller.Options) error {
	return r.Runner.Setup(mgr, r, o, r, nil)
}
