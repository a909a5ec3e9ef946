package controller

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// finalizer is Flux's, so that a cluster can change hands.
const finalizer = "finalizers.fluxcd.io"

// act carries an action out. It says whether the pass is over.
func (p *pass) act(ctx context.Context, state plan.State, a plan.Action) (done bool, err error) {
	switch a.Step {
	case plan.Idle:
		return true, nil
	case plan.AddFinalizer:
		return false, p.addFinalizer(ctx)
	case plan.Finalize:
		return p.finalize(ctx, a)
	case plan.Answer:
		return true, p.answer(ctx, state.Subject.Token)
	case plan.Heal:
		return false, p.heal(ctx)
	case plan.CatchUp:
		p.catchUp()
		return false, nil
	case plan.Wait:
		return true, p.wait(ctx, state, a)
	case plan.Begin:
		return false, p.begin(state, a.Cause)
	case plan.Succeed:
		return false, p.succeed(ctx, state)
	case plan.Fail:
		return a.Outside, p.fail(ctx, state, a)
	default:
		return p.advance(ctx, state, a)
	}
}

// advance takes the running attempt a step further.
func (p *pass) advance(ctx context.Context, state plan.State, a plan.Action) (done bool, err error) {
	switch a.Step {
	case plan.Compare:
		reason, err := p.compare(ctx)
		return false, p.orFail(ctx, state, reason, err)
	case plan.Repair:
		return false, p.orFail(ctx, state, plan.ReasonApplyFailed, p.repair(ctx))
	case plan.AskRelease:
		return true, p.askRelease(ctx, state, a)
	case plan.Apply:
		if state.Attempt.Cause == plan.Verify && p.asLeft() {
			p.mem.mailbox.clear()
			return false, p.applied(p.statusInventory(), false)
		}
		return p.applyContent(ctx, state, a.Deep)
	case plan.Prune:
		return p.prune(ctx, state)
	case plan.SkipPrune:
		p.mem.record.Stage = plan.Pruned
		return false, nil
	case plan.CheckHealth:
		return false, p.checkHealth(ctx, state)
	default:
		return true, fmt.Errorf("decision %q is unknown", a.Step)
	}
}

func (p *pass) addFinalizer(ctx context.Context) error {
	base := p.stored.copied().object()
	controllerutil.AddFinalizer(p.subject.object(), finalizer)
	patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})
	if err := p.Client.Patch(ctx, p.subject.object(), patch, client.FieldOwner(Name)); err != nil {
		return fmt.Errorf("add finalizer: %w", err)
	}
	p.wrote()
	return nil
}

// wrote notes that the API server now has what is in memory.
func (p *pass) wrote() {
	p.stored = p.subject.copied()
	p.mem.writes.wrote(p.stored)
}

// answer tells that a token was seen although nothing was done: the subject is suspended.
func (p *pass) answer(ctx context.Context, token string) error {
	p.subject.setToken(token)
	return p.patchStatus(ctx)
}

// wait ends a pass of an unfinished attempt; only a long one is reported.
func (p *pass) wait(ctx context.Context, state plan.State, a plan.Action) error {
	if !a.Progress {
		return nil
	}
	return p.progress(ctx, state, a)
}

// begin starts an attempt. One that only says that a revision moved is not worth a write to disk; it looks at the health
// of what is known to be unhealthy all the same.
func (p *pass) begin(state plan.State, cause plan.Cause) error {
	goal := plan.GoalOf(state)
	before := p.mem.record
	p.mem.record.Goal = goal
	p.mem.record.Stage, p.mem.record.Cause = plan.Started, cause
	p.mem.record.Outcome, p.mem.record.Reported, p.mem.record.Message = "", "", ""
	p.mem.record.Started = p.now
	p.mem.resumed = p.resumes(before, goal, cause)
	p.mem.record.Release, p.mem.record.Action, p.mem.record.Stalled = 0, "", false
	p.mem.release = releaseMemory{}
	p.mem.planned, p.mem.survivors = nil, nil
	p.health, p.reported = nil, false
	if cause == plan.Requested || cause == plan.Changed {
		p.mem.unhealthy = nil
	}
	if cause == plan.Moved && state.Subject.Checks && len(p.mem.unhealthy) > 0 {
		p.mem.record.Stage, p.mem.record.AppliedAt = plan.Pruned, p.now
	}
	p.ungate()
	if cause == plan.Moved || cause == plan.Verify || before.Goal == goal {
		return nil
	}
	return p.save()
}

// resumes is since when the health of the same content has been waited for; zero when it was not, or when the user asks to
// start anew. A source that moves faster than an app becomes healthy must not put off its deadline for ever.
func (p *pass) resumes(before progress, goal plan.Goal, cause plan.Cause) time.Time {
	same := before.Goal.UID == goal.UID && before.Goal.Tag == goal.Tag && before.Goal.Generation == goal.Generation
	switch {
	case !same || cause == plan.Requested:
		return time.Time{}
	case before.Stage == plan.Applied || before.Stage == plan.Pruned:
		return before.AppliedAt
	case before.Stage == plan.Started:
		return p.mem.resumed
	}
	return time.Time{}
}

// save keeps how far the attempt is.
func (p *pass) save() error { return p.Store.SaveState(p.key, p.mem.record) }

// orFail ends the attempt with an error, if there is one.
func (p *pass) orFail(ctx context.Context, state plan.State, reason string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return p.fail(ctx, state, plan.Action{Step: plan.Fail, Reason: reason, Message: err.Error()})
}
