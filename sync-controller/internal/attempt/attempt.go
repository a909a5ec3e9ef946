package attempt

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// Attempt is the running or the latest attempt of one subject. The zero value is that before the first.
type Attempt struct {
	Progress

	// Verified says that objects were compared with the cluster since this process started.
	Verified bool
	// Planned are the ids of the running attempt's content, Survivors those that could not be pruned. Nil before its apply.
	Planned   inventory.Inventory
	Survivors []inventory.Entry

	// appliedBefore is when an interrupted attempt at the same content had applied it; zero without one.
	appliedBefore time.Time
	// running is the progress before the attempt ended.
	running Progress
}

// Restore takes over what was saved, and says whether it was about the subject of that UID, or about an earlier one of the
// same name. An interrupted attempt goes back to its start: which objects it is about is only known after its apply, which
// costs nothing where everything is as it was. The deadline of its health stays.
func (a *Attempt) Restore(saved Progress, uid types.UID) bool {
	if saved.Goal.UID != uid {
		a.Progress = Progress{}
		return false
	}
	a.Progress = saved
	if a.Stage == plan.Applied || a.Stage == plan.Pruned {
		a.appliedBefore = a.AppliedAt
		a.Stage = plan.Started
	}
	return true
}

// Plan is the attempt as decisions see it at a given time.
func (a *Attempt) Plan(now time.Time) plan.Attempt {
	return plan.Attempt{
		Goal: a.Goal, Stage: a.Stage, Cause: a.Cause, Outcome: a.Outcome, Reported: a.Reported, Message: a.Message,
		Verified: a.Verified, Stalled: a.Stalled, Failures: a.Failures,
		Age: now.Sub(a.Started), SinceApplied: now.Sub(a.AppliedAt), SinceEnded: now.Sub(a.EndedAt),
	}
}

// Begin starts an attempt. One that only says that a revision moved is not worth saving.
func (a *Attempt) Begin(goal plan.Goal, cause plan.Cause, now time.Time) (save bool) {
	before := a.Progress
	a.appliedBefore = a.resumes(goal, cause)
	if a.Goal.Tag != goal.Tag || a.Goal.Generation != goal.Generation || cause == plan.Requested {
		a.Failures = 0
	}
	a.Goal, a.Stage, a.Cause = goal, plan.Started, cause
	a.Outcome, a.Reported, a.Message, a.Stalled = "", "", "", false
	a.Release, a.Action = 0, ""
	a.Started = now
	a.Planned, a.Survivors = nil, nil
	return cause != plan.Moved && cause != plan.Verify && before.Goal != goal
}

// resumes is since when the health of the same content has been waited for; zero when it was not, or when the user asks to
// start anew. A source that moves faster than an app becomes healthy must not put off its deadline for ever.
func (a *Attempt) resumes(goal plan.Goal, cause plan.Cause) time.Time {
	same := a.Goal.UID == goal.UID && a.Goal.Tag == goal.Tag && a.Goal.Generation == goal.Generation
	switch {
	case !same || cause == plan.Requested:
		return time.Time{}
	case a.Stage == plan.Applied || a.Stage == plan.Pruned:
		return a.AppliedAt
	case a.Stage == plan.Started:
		return a.appliedBefore
	}
	return time.Time{}
}

// SkipToHealth leaves apply and prune out: only health is looked at.
func (a *Attempt) SkipToHealth(now time.Time) { a.Stage, a.AppliedAt = plan.Pruned, now }

// SetApplied takes the attempt on after an apply that succeeded. One that changed nothing goes on waiting since the one
// before.
func (a *Attempt) SetApplied(planned inventory.Inventory, wrote bool, now time.Time) (save bool) {
	a.Planned, a.Verified = planned, true
	if a.Change != nil {
		a.Change.Unchanged = max(0, int64(len(planned))-a.Change.Created-a.Change.Configured)
	}
	a.Stage, a.AppliedAt = plan.Applied, now
	if !a.appliedBefore.IsZero() && !wrote {
		a.AppliedAt = a.appliedBefore
	}
	return a.Cause != plan.Verify || wrote
}

// Inventory is what the status holds after the attempt: what was applied and what could not be deleted.
func (a *Attempt) Inventory() inventory.Inventory {
	return inventory.Union(inventory.New(a.Survivors...), a.Planned)
}

// End notes the outcome of the running attempt. It says whether there was one, or a better one than before.
func (a *Attempt) End(outcome string, now time.Time) bool {
	if a.Stage == plan.Ended && a.Outcome == outcome {
		return false
	}
	a.running = a.Progress
	a.Stage, a.Outcome, a.EndedAt = plan.Ended, outcome, now
	if a.Failures++; outcome == plan.ReasonSucceeded {
		a.Failures = 0
	}
	return true
}

// Reopen takes the end back, which could not be written: the next reconciliation ends the attempt again.
func (a *Attempt) Reopen() {
	a.Stage, a.Outcome, a.EndedAt, a.Failures = a.running.Stage, a.running.Outcome, a.running.EndedAt, a.running.Failures
}
