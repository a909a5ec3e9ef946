package controller

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/events"
	"github.com/sluice-gitops/sluice/sync-controller/internal/heal"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/journal"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// told is an outcome that was written to the status.
type told struct {
	state   plan.State
	before  subject.Subject
	verdict plan.Verdict
	// change is what the attempt has changed; nil when nothing, or when none ended.
	change *v1alpha1.ChangeSet
	ended  bool
}

// tell tells of an outcome outside of the subject's own records: events, the log, metrics.
func (r *reconciliation) tell(ctx context.Context, o told) {
	m := r.memory
	released := o.ended && m.attempt.Release != 0
	waited := r.now.Sub(m.attempt.AppliedAt)
	out := events.Outcome{Before: o.before, After: r.subject, Verdict: o.verdict, Released: released, Waited: waited, At: r.now}
	if o.change != nil {
		out.Changed = o.change.Entries
	}
	r.Events.Outcome(out, &m.reported)
	m.journal.Outcome(ctrl.LoggerFrom(ctx), r.line(o, released, waited))
	r.measure(o, released, waited)
}

// tellApplied tells of an attempt that goes on to wait for health. A release is none before it is in effect.
func (r *reconciliation) tellApplied(ctx context.Context, state plan.State) {
	a := &r.memory.attempt
	line := r.line(told{state: state, before: r.stored, verdict: plan.Verdict{Ready: metav1.ConditionTrue}, change: a.Change, ended: true}, false, 0)
	r.memory.journal.Applied(ctrl.LoggerFrom(ctx), line)
}

// line is the outcome as the log has it.
func (r *reconciliation) line(o told, released bool, waited time.Duration) journal.Outcome {
	a := &r.memory.attempt
	line := journal.Outcome{
		Before: o.before.Reported(), Verdict: o.verdict, Ended: o.ended, Cause: a.Cause, Release: released,
		Change: o.change, Objects: len(r.subject.Inventory()), Took: r.now.Sub(a.Started),
	}
	switch {
	case o.ended || r.render == nil:
		line.Revision = a.Goal.Revision
	default:
		line.Revision = r.render.Source.Revision
	}
	if o.ended && !o.verdict.Stalled {
		o.state.Attempt = a.Plan(r.now)
		line.After = plan.RetryAfter(o.state)
	}
	if o.ended && r.memory.healthAwaited {
		line.Healthy = waited
	}
	return line
}

// measure counts what the outcome says.
func (r *reconciliation) measure(o told, released bool, waited time.Duration) {
	if c := o.change; c != nil {
		r.Metrics.Changed(r.Kind.Name, c.Created, c.Configured, c.Deleted)
		if r.memory.attempt.Cause == plan.Verify && !released {
			r.Metrics.Corrected(r.Kind.Name, c.Created+c.Configured)
		}
	}
	if o.ended && r.health != nil {
		r.Metrics.Health(r.Kind.Name, waited, o.verdict.Ready == metav1.ConditionTrue)
	}
}

// tellGone tells that a deleted subject may go, once its finalizer is off.
func (r *reconciliation) tellGone(ctx context.Context, a plan.Action, err error) {
	if err == nil && !controllerutil.ContainsFinalizer(r.subject.Object(), finalizer) {
		r.memory.journal.Gone(ctrl.LoggerFrom(ctx), a.Delete, len(r.subject.Inventory()))
	}
}

// tellDrift tells of what was corrected, and of what could not be.
func (r *reconciliation) tellDrift(ctx context.Context, out heal.Output) error {
	var drift events.Drift
	var created, configured int64
	for _, c := range out.Corrections {
		object := inventory.Describe(c.ID)
		drift.Corrected = append(drift.Corrected, events.Drifted{Object: object, Manager: c.Manager, Found: c.Found(), Corrected: c.String()})
		r.memory.record.AddCorrection(object, c.Manager, r.now)
		if c.Recreated() {
			created++
		} else {
			configured++
		}
	}
	if out.Err != nil {
		drift.Refused = out.Err.Error()
	}
	r.Events.Drift(r.subject, r.now, drift, &r.memory.reported)
	r.memory.journal.Drift(ctrl.LoggerFrom(ctx), drift)
	r.Metrics.Changed(r.Kind.Name, created, configured, 0)
	r.Metrics.Corrected(r.Kind.Name, created+configured)
	r.Metrics.Refused(r.Kind.Name, len(out.Refused))
	if len(out.Corrections) == 0 {
		return nil
	}
	return r.writeRecord(ctx)
}
