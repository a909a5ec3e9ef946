// Package helmchart reconciles HelmCharts: it packages a chart out of the artifact of a GitRepository.
//
// The path of an attempt is that of package gitrepository: [Reconciler.Reconcile] reads the object, observe.go looks at
// the source and the storage, plan.DecideChart picks the step, act.go takes it, report.go writes the status.
package helmchart

import (
	"context"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/report"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// timeout bounds an attempt, which works on local files only.
const timeout = 2 * time.Minute

// Reconciler reconciles HelmCharts. Every field must be set.
type Reconciler struct {
	// Reporter reads and writes objects, and says when to look again.
	Reporter *report.Reporter
	// Store holds the artifacts, the sources' too.
	Store *store.Store
	// Clock tells the time.
	Clock func() time.Time
}

// Reconcile makes one attempt.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var obj sourcev1.HelmChart
	if err := r.Reporter.Get(ctx, req.NamespacedName, &obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	started := r.Clock()
	defer r.Reporter.Measure(ctx, &obj, started)
	if !obj.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.finalize(ctx, &obj)
	}
	if found, err := r.Reporter.Claim(ctx, &obj); !found {
		return ctrl.Result{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return r.report(ctx, &obj, r.act(bounded, &obj, r.observe(bounded, &obj)), started)
}
