package report

import (
	"context"
	"math/rand/v2"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/retry"
)

// Schedule says when objects are looked at again.
type Schedule struct {
	// Retry delays failed attempts.
	Retry *retry.Limiter
	// Dependency is when an object that waits for another one is looked at again, if nothing happens before.
	Dependency time.Duration
	// Jitter is by how many percent intervals vary.
	Jitter uint8
}

// Ending is how an attempt ended.
type Ending struct {
	// Before is the object as it was read, After with the status that the attempt calls for.
	Before, After Object
	// Step is what the attempt did.
	Step plan.Step
	// Problem is why it could not do what the object asks for; nil after a success.
	Problem *plan.Problem
	// Change is what is said if the artifact has other content now.
	Change Change
	// Interval is the object's.
	Interval time.Duration
}

// Finish ends an attempt: it writes the status, tells what is new, and returns when to look again.
func (r *Reporter) Finish(ctx context.Context, e Ending) (ctrl.Result, error) {
	if ctx.Err() != nil {
		// The process is ending: what failed because of that is nobody's news.
		return ctrl.Result{}, nil
	}
	if err := r.Status(ctx, e.Before, e.After); err != nil {
		return ctrl.Result{}, err
	}
	if e.Step == plan.Rest {
		return ctrl.Result{}, nil
	}
	r.Tell(e.Before, e.After, e.Change)
	if e.Step == plan.Build && e.Problem == nil {
		artifact := e.After.GetArtifact()
		ctrl.LoggerFrom(ctx).Info("stored artifact", "revision", artifact.Revision, "digest", artifact.Digest)
	}
	return r.next(ctx, e)
}

// passing is when an object is looked at again that waits for something that takes moments.
const passing = 2 * time.Second

// next is when an object is looked at again if neither it nor what it is made of changes before.
func (r *Reporter) next(ctx context.Context, e Ending) (ctrl.Result, error) {
	switch p := e.Problem; {
	case p == nil:
		return ctrl.Result{RequeueAfter: plan.Jitter(e.Interval, r.Schedule.Jitter, rand.Float64())}, nil
	case p.Terminal:
		ctrl.LoggerFrom(ctx).Info("stalled", "reason", p.Reason, "message", p.Message)
		return ctrl.Result{}, nil
	case p.Passing:
		return ctrl.Result{RequeueAfter: min(passing, r.Schedule.Dependency)}, nil
	case p.Awaited:
		ctrl.LoggerFrom(ctx).Info("waiting", "reason", p.Reason, "message", p.Message)
		return ctrl.Result{RequeueAfter: r.Schedule.Dependency}, nil
	}
	r.Schedule.Retry.Interval(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(e.After)}, e.Interval)
	return ctrl.Result{}, e.Problem
}
