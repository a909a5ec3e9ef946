// Package gitrepository reconciles GitRepositories: it finds the commit that a reference names now, and stores its tree
// as an artifact.
//
// The path of an attempt: [Reconciler.Reconcile] reads the object, observe.go asks storage, Secrets and upstream,
// plan.Decide picks the step, act.go takes it, report.go writes the status. Whatever happens, the last good artifact
// stays.
package gitrepository

import (
	"context"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

const defaultTimeout = time.Minute

// Reconciler reconciles GitRepositories. Every field must be set.
type Reconciler struct {
	// Reporter reads and writes objects, and says when to look again.
	Reporter *report.Reporter
	// Secrets reads Secrets, uncached.
	Secrets client.Reader
	// Git asks repositories.
	Git *git.Client
	// Clones holds the bare clones.
	Clones *git.Cache
	// Store holds the artifacts.
	Store *store.Store
	// Limits bound an artifact.
	Limits pack.Limits
	// Clock tells the time.
	Clock func() time.Time
}

// Reconcile makes one attempt.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var obj sourcev1.GitRepository
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
	return r.report(ctx, &obj, r.attempt(ctx, &obj), started)
}

func (r *Reconciler) attempt(ctx context.Context, obj *sourcev1.GitRepository) outcome {
	timeout := defaultTimeout
	if t := obj.Spec.Timeout; t != nil && t.Duration > 0 {
		timeout = t.Duration
	}
	asking, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	seen := r.observe(asking, obj)
	defer seen.close()
	out := r.act(asking, obj, seen)
	out.received = seen.received()
	// Upstream may have taken all the time there was.
	tidying, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r.tidy(tidying, obj, &out)
	return out
}
