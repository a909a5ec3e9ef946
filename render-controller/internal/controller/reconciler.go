package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/runtime/jitter"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/bus/outbox"
	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/render-controller/internal/measure"
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
	// RefuseExternalArtifacts denies subjects that are made from an ExternalArtifact.
	RefuseExternalArtifacts bool
	Outbox                  *outbox.Outbox
	// Metrics counts what is built and what is not; it may be nil.
	Metrics *measure.Metrics
	// Advertised is the host, or the URL, at which the store is served.
	Advertised string
	// Namespace the controllers run in.
	Namespace string
	// WarnOnMAC accepts SOPS files whose MAC does not fit, for all subjects.
	WarnOnMAC bool
	// Concurrent is how many subjects of a kind are worked on at a time.
	Concurrent int
	// RetryArtifact is how often to ask for an artifact that was not there.
	RetryArtifact time.Duration

	// quarantine has room for one subject that workers were lost on: such subjects never take all workers.
	quarantine chan struct{}
}

// observer reads what subjects of one kind depend on.
type observer interface {
	kind() string
	groupVersion() string
	newSubject() client.Object
	// source adds where the artifact is to an observation whose subject, record and state are there; inputs adds
	// everything else that a rendering depends on. An error that is a [*problem] stands in the way of a rendering; any
	// other is one that trying again may mend.
	source(ctx context.Context, o *observation) error
	inputs(ctx context.Context, o *observation) error
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
	wait, err := r.attempt(ctx, request.NamespacedName)
	switch {
	case errors.Is(err, errAway):
		return again(min(r.options.RetryArtifact, soon), ownTurn), nil
	case errors.Is(err, errYielded):
		return again(time.Millisecond, lastTurn), nil
	case errors.Is(err, errQuarantined):
		return again(soon, lastTurn), nil
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return again(conflictDelay, ownTurn), nil // the cache is behind our own last write
	case err != nil && ctx.Err() != nil:
		return ctrl.Result{}, nil // the process ends, and looks at every subject when it starts again
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return again(soon, ownTurn), nil // nothing can be made here any more; the subject is deleted next
	}
	return jitter.JitteredRequeueInterval(again(wait, ownTurn)), err
}

// attempt observes, decides, acts and reports. It returns when to look at the subject again: never for zero.
func (r *reconciler) attempt(ctx context.Context, name types.NamespacedName) (time.Duration, error) {
	o, err := r.observe(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("observe: %w", err)
	}
	decision := plan.Decide(&o.state)
	ctrl.LoggerFrom(ctx).V(logkey.Debug).Info("decided", logkey.Step, decision.Action.String(), logkey.Rule, decision.Rule)
	done, err := r.act(ctx, o, decision.Action)
	if err != nil || done == nil {
		return 0, err
	}
	if err := r.report(ctx, o, done); err != nil {
		return 0, fmt.Errorf("write Render: %w", err)
	}
	switch {
	case done.problem == nil:
		return o.interval, nil
	case done.problem.Retry > 0:
		return done.problem.Retry, nil
	case done.problem.Waiting:
		return min(o.retryInterval, r.options.RetryArtifact), nil
	default:
		return o.retryInterval, nil
	}
}

// soon is when an artifact is asked for again that was not there.
const soon = 2 * time.Second

// What ends an attempt without a verdict, to be made again.
var (
	// errAway: the artifact was not there, for the first time: mostly the source is about to say where it is now.
	errAway = errors.New("the artifact cannot be had yet")
	// errYielded lets other subjects go first.
	errYielded = errors.New("yielded to other subjects")
	// errQuarantined: another subject that workers were lost on is being rendered.
	errQuarantined = errors.New("one subject that workers were lost on at a time")
)

// shortestRetry keeps a subject that fails from taking all turns, whatever its spec says: the API server takes any interval.
const shortestRetry = time.Second

// Priorities in the queue. What is listed at start has -100.
const (
	ownTurn  = 0
	lastTurn = -10
)

// again puts a subject back into the queue, in its turn: the queue would otherwise keep the turn that the subject had.
func again(after time.Duration, turn int) ctrl.Result {
	return ctrl.Result{RequeueAfter: after, Priority: &turn}
}

// conflictDelay is how long to wait for the cache.
const conflictDelay = 200 * time.Millisecond
