// Package attempt is the path that an attempt takes whatever the kind of source: an object is read, claimed or let go; its
// [Kind] looks at upstream and acts; the storage is tidied; the status is written and what is new is told. Whatever happens,
// the last good artifact stays.
package attempt

import (
	"context"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// Object is a source.
type Object interface {
	report.Object
	// GetRequeueAfter is spec.interval.
	GetRequeueAfter() time.Duration
}

// Status are the fields that all kinds have, of one object.
type Status struct {
	// Suspended is spec.suspend.
	Suspended bool
	// The others are in the object's status. URL is nil where a kind has none.
	Conditions         *[]metav1.Condition
	Artifact           **meta.Artifact
	ObservedGeneration *int64
	Handled            *meta.ReconcileRequestStatus
	URL                *string
}

// Kind is what differs from kind to kind.
type Kind[O Object] interface {
	// New is an empty object.
	New() O
	// Status points at the fields of an object.
	Status(obj O) Status
	// Timeout bounds an attempt.
	Timeout(obj O) time.Duration
	// Attempt completes what is observed, of which the artifact and whether it is stored are known, decides, and acts. The
	// object is not suspended.
	Attempt(ctx context.Context, obj O, o plan.Observed) Outcome[O]
	// Restore makes the advertised artifact, whose file is lost, again without upstream. It reports whether it could.
	Restore(ctx context.Context, obj O) bool
	// Remove removes what else than artifacts an object left on disk.
	Remove(ctx context.Context, obj O) error
}

// Outcome is how an attempt ended.
type Outcome[O Object] struct {
	plan.Decision

	// Problem is why it could not do what the object asks for; nil after a success.
	Problem *plan.Problem
	// Artifact is what the status is to advertise: the one of before, if no other was made.
	Artifact *meta.Artifact
	// Stored says whether that can be downloaded; Made that it was stored now.
	Stored, Made bool
	// Upstream is the revision that upstream has; empty if it is not known.
	Upstream string
	// Revision is what the log says was to be made; empty for Upstream.
	Revision string
	// Received is how many bytes upstream sent.
	Received int64
	// Reason and Message are those of the conditions after a success; that the artifact is stored, if they are empty.
	Reason, Message string
	// Verified is whose signature was found good; nil if none is asked for.
	Verified *plan.Verified
	// Change is what is told of other content; Done and Source are what the log says of it: "packaged chart web@1.0.0".
	Change       report.Change
	Done, Source string
	// Note writes into the status what the artifact was made with; nil for nothing.
	Note func(obj O)

	// restored is set when a lost file was made again although there is a problem, collected how many superseded ones went.
	restored  bool
	collected int
}

// Start is an outcome that changes nothing yet.
func Start[O Object](o plan.Observed) Outcome[O] {
	return Outcome[O]{
		Decision: plan.Decide(o), Problem: o.Problem, Artifact: o.Artifact, Stored: o.Stored, Upstream: o.Upstream,
	}
}

// Runner makes the attempts of one kind. Every field must be set.
type Runner[O Object] struct {
	// Reporter reads and writes objects, and says when to look again.
	Reporter *report.Reporter
	// Store holds the artifacts.
	Store *store.Store
	// Clock tells the time.
	Clock func() time.Time
}

// Run makes one attempt.
func (r *Runner[O]) Run(ctx context.Context, req ctrl.Request, kind Kind[O]) (ctrl.Result, error) {
	obj := kind.New()
	if err := r.Reporter.Get(ctx, req.NamespacedName, obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	started := r.Clock()
	defer r.Reporter.Measure(ctx, obj, started)
	if !obj.GetDeletionTimestamp().IsZero() {
		return ctrl.Result{}, r.finalize(ctx, obj, kind)
	}
	if found, err := r.Reporter.Claim(ctx, obj); !found {
		return ctrl.Result{}, err
	}
	return r.finish(ctx, obj, kind, r.attempt(ctx, obj, kind), started)
}

func (r *Runner[O]) attempt(ctx context.Context, obj O, kind Kind[O]) Outcome[O] {
	timeout, artifact := kind.Timeout(obj), *kind.Status(obj).Artifact
	asking, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var out Outcome[O]
	if o := r.observe(kind.Status(obj)); o.Suspended || o.Problem != nil {
		out = Start[O](o)
	} else {
		out = kind.Attempt(asking, obj, o)
	}
	if out.Step == plan.Rest || out.Artifact == nil {
		return out
	}
	// Upstream may have taken all the time there was.
	tidying, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if !out.Stored {
		out.restored = artifact != nil && kind.Restore(tidying, obj)
		out.Stored = out.restored
	}
	var err error
	if out.collected, err = r.Store.Collect(out.Artifact.Path, artifact); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "superseded artifacts stay for now")
	}
	return out
}

// observe is what is known about any object before its kind looks further.
func (r *Runner[O]) observe(s Status) plan.Observed {
	o := plan.Observed{Suspended: s.Suspended, Artifact: *s.Artifact}
	if o.Suspended || o.Artifact == nil {
		return o
	}
	stored, err := r.Store.Verify(o.Artifact.Path, o.Artifact.Digest)
	if err != nil {
		o.Problem = plan.StorageProblem(sourcev1.ReadOperationFailedReason, "check the stored artifact: %v", err)
	}
	o.Stored = stored
	return o
}

// finalize removes what an object left on disk, and lets it go.
func (r *Runner[O]) finalize(ctx context.Context, obj O, kind Kind[O]) error {
	if err := r.Store.Delete(r.Reporter.Kind, obj.GetNamespace(), obj.GetName()); err != nil {
		return err
	}
	if err := kind.Remove(ctx, obj); err != nil {
		return err
	}
	return r.Reporter.Release(ctx, obj)
}
