package report

import (
	"context"
	"math/rand/v2"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/measure"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/retry"
)

// Schedule says when objects are looked at again.
type Schedule struct {
	// Retry delays failed attempts. It is not a controller's own: see [retry.Limiter].
	Retry *retry.Limiter
	// Dependency is when an object that waits for another one is looked at again, if nothing happens before.
	Dependency time.Duration
	// Jitter is by how many percent intervals vary.
	Jitter uint8
}

// Errors delays what fails because of the API server, which no condition tells of.
func (s Schedule) Errors() *retry.Limiter { return &retry.Limiter{Min: s.Retry.Min, Max: s.Retry.Max} }

// Ending is how an attempt ended.
type Ending struct {
	// Before is the object as it was read, After with the status that the attempt calls for.
	Before, After Object
	// Decision is what the attempt did, and why.
	Decision plan.Decision
	// Problem is why it could not do what the object asks for; nil after a success.
	Problem *plan.Problem
	// Revision is what was to be fetched or packaged; empty if that is not known.
	Revision string
	// Made is set when a new file was stored, and Restored when one that was lost was made again although there is a problem.
	Made, Restored bool
	// Collected is how many superseded files were removed.
	Collected int
	// Change is what is said if the artifact has other content now.
	Change Change
	// Done is what the log says was made, such as "packaged chart web@1.0.0"; empty for the revision that was fetched. Source
	// is what it was made of; empty if that is not another object.
	Done, Source string
	// Interval is the object's.
	Interval time.Duration
	// Took is how long the attempt lasted.
	Took time.Duration
}

// next is when an object is looked at again, if nothing happens before.
type next struct {
	// after is how long to wait; 0 for no time.
	after time.Duration
	// failures is how many attempts in a row failed that are tried again.
	failures int
}

// Finish ends an attempt: it writes the status, says what is new, and returns when to look again. A problem is no error:
// the object's conditions have it.
func (r *Reporter) Finish(ctx context.Context, e Ending) (ctrl.Result, error) {
	if ctx.Err() != nil {
		// The process is ending: what failed because of that is nobody's news.
		return ctrl.Result{}, nil
	}
	if err := r.Status(ctx, e.Before, e.After); err != nil {
		return ctrl.Result{}, err
	}
	log := ctrl.LoggerFrom(ctx)
	logDecision(log, e)
	if e.Decision.Step == plan.Rest {
		r.forget(client.ObjectKeyFromObject(e.After)) // whoever resumes it starts anew
		return ctrl.Result{}, nil
	}
	r.Emit(e.Before, e.After, e.Change)
	again := r.again(e)
	r.log(log, e, again)
	r.measure(e)
	return ctrl.Result{RequeueAfter: again.after}, nil
}

// transient is when an object is looked at again that waits for something that takes moments.
const transient = 2 * time.Second

// maxAfter is the longest that upstream may ask to be left alone.
const maxAfter = time.Hour

// again is when an object is looked at again if neither it nor what it is made of changes before.
func (r *Reporter) again(e Ending) next {
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(e.After)}
	p := e.Problem
	if p != nil && !p.Terminal && !p.Awaited {
		failures, wait := r.Schedule.Retry.Next(request, e.Interval)
		return next{max(wait, min(p.After, maxAfter)), failures}
	}
	r.Schedule.Retry.Forget(request)
	switch {
	case p == nil:
		return next{after: plan.Jitter(e.Interval, r.Schedule.Jitter, rand.Float64())}
	case p.Terminal:
		return next{}
	case p.Transient:
		return next{after: min(transient, r.Schedule.Dependency)}
	}
	return next{after: r.Schedule.Dependency}
}

// measure counts an attempt; waiting for something that takes moments is none.
func (r *Reporter) measure(e Ending) {
	result := measure.Unchanged
	switch {
	case e.Problem != nil && e.Problem.Transient:
		return
	case e.Problem != nil:
		result = measure.Failure
	case e.Made:
		result = measure.Success
	}
	r.Metrics.Fetched(r.Kind, result, e.Took)
}
