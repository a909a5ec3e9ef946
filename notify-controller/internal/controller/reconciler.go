package controller

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
)

// alerts says what is wrong with an Alert as soon as it is written.
type alerts struct {
	directory *Directory
	reports   Reports
}

// Reconcile implements reconcile.Reconciler.
func (a *alerts) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	stored, err := a.directory.get(ctx, alertKind(), request)
	if stored == nil || err != nil {
		return ctrl.Result{}, err
	}
	rule := ruleOf(stored, a.directory.Refs)
	if rule.Problem != "" {
		a.reports.warn(alertKind(), rule.Alert, reasonInvalidConfig, rule.Problem)
		logRefused(ctx, reasonInvalidConfig, rule.Problem)
	}
	if len(rule.Denied) > 0 {
		problem := "event sources in other namespaces are ignored, cross-namespace references have been blocked: " + strings.Join(rule.Denied, ", ")
		a.reports.warn(alertKind(), rule.Alert, reasonAccessDenied, problem)
		logRefused(ctx, reasonAccessDenied, problem)
	}
	return ctrl.Result{}, nil
}

// providers says what of a Provider is not served, and has its queue started or stopped.
type providers struct {
	directory *Directory
	reports   Reports
	changed   func()
}

// Reconcile implements reconcile.Reconciler.
func (p *providers) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	p.changed()
	stored, err := p.directory.get(ctx, providerKind(), request)
	if stored == nil || err != nil {
		return ctrl.Result{}, err
	}
	spec, problem := specOf(stored)
	if problem == "" {
		problem = plan.Unserved(spec)
	}
	if problem != "" {
		p.reports.warn(providerKind(), refOf(stored), reasonInvalidConfig, problem)
		logRefused(ctx, reasonInvalidConfig, problem)
	}
	return ctrl.Result{}, nil
}

// logRefused says what of an object cannot be obeyed: once per version of it, since only those are reconciled.
func logRefused(ctx context.Context, reason, problem string) {
	problem = event.Shorten(problem, maxEvent)
	ctrl.LoggerFrom(ctx).Info("refused: "+problem, logkey.Reason, reason, logkey.Problem, problem)
}

// get returns nil for an object that does not exist any more.
func (d *Directory) get(ctx context.Context, kind schema.GroupVersionKind, request ctrl.Request) (*unstructured.Unstructured, error) {
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(kind)
	if err := d.Cache.Get(ctx, request.NamespacedName, stored); err != nil {
		return nil, ignoreNotFound(err)
	}
	return stored, nil
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
