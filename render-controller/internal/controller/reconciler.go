package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/runtime/jitter"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/render-controller/internal/plan"
	"github.com/sluice-gitops/sluice/render-controller/internal/render"
	"github.com/sluice-gitops/sluice/render-controller/internal/seal"
	"github.com/sluice-gitops/sluice/render-controller/internal/store"
	"github.com/sluice-gitops/sluice/render-controller/internal/tree"
)

// Options are what the reconcilers of both kinds share.
type Options struct {
	Trees    *tree.Cache
	Renderer *render.Renderer
	Seals    *seal.Store
	Store    *store.Store
	Access   access.Checker
	Outbox   *bus.Outbox
	// Advertised is the host, or the URL, at which the store is served.
	Advertised string
	// Namespace the controllers run in.
	Namespace string
	// WarnOnMAC accepts SOPS files whose MAC does not fit, for all subjects.
	WarnOnMAC bool
	// Concurrent is how many subjects of a kind are worked on at a time.
	Concurrent int
	// RetryArtifact is how long to wait before asking again for an artifact that was not there.
	RetryArtifact time.Duration
}

// observer reads what subjects of one kind depend on.
type observer interface {
	kind() string
	groupVersion() string
	newSubject() client.Object
	// observe completes an observation whose subject, record and state are there. What stands in the way of a rendering is
	// a problem in its state; an error is one that trying again may mend.
	observe(ctx context.Context, o *observation) error
}

// reconciler renders the subjects of one kind.
type reconciler struct {
	client   client.Client
	observer observer
	options  *Options
	memory   *memory
}

// Reconcile does one attempt for one subject.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	o, err := r.observe(ctx, request.NamespacedName)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observe: %w", err)
	}
	done, err := r.act(ctx, o, plan.Decide(&o.state))
	if errors.Is(err, tree.ErrNotFound) {
		return ctrl.Result{RequeueAfter: r.options.RetryArtifact}, nil // the source is about to say where it is now
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if done == nil {
		return ctrl.Result{}, nil
	}
	err = r.report(ctx, o, done)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return ctrl.Result{RequeueAfter: conflictDelay}, nil // the cache is behind our own last write
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("write Render: %w", err)
	}
	wait := o.interval
	if done.problem != nil {
		wait = o.retryInterval
	}
	return jitter.JitteredRequeueInterval(ctrl.Result{RequeueAfter: wait}), nil
}

// conflictDelay is how long to wait for the cache.
const conflictDelay = 200 * time.Millisecond
