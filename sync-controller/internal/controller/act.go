package controller

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// finalizer is Flux's, so that a cluster can change hands.
const finalizer = "finalizers.fluxcd.io"

// act carries an action out. It says whether the reconciliation is over.
func (r *reconciliation) act(ctx context.Context, state plan.State, a plan.Action) (done bool, err error) {
	switch a.Step {
	case plan.Idle:
		return true, nil
	case plan.AddFinalizer:
		return false, r.addFinalizer(ctx)
	case plan.Finalize:
		defer func() { r.tellGone(ctx, a, err) }()
		return r.finalize(ctx, a)
	case plan.Answer:
		return true, r.answer(ctx, state.Subject.Token)
	case plan.Heal:
		return false, r.heal(ctx)
	case plan.CatchUp:
		r.catchUp()
		return false, nil
	case plan.Wait:
		return true, r.wait(ctx, state, a)
	case plan.Begin:
		return false, r.begin(state, a.Cause)
	case plan.Succeed:
		return false, r.succeed(ctx, state)
	case plan.Fail:
		return a.Outside, r.fail(ctx, state, a)
	default:
		return r.advance(ctx, state, a)
	}
}

// advance takes the running attempt a step further.
func (r *reconciliation) advance(ctx context.Context, state plan.State, a plan.Action) (done bool, err error) {
	switch a.Step {
	case plan.Compare:
		reason, err := r.release.Compare(ctx)
		return false, r.orFail(ctx, state, reason, err)
	case plan.Repair:
		return false, r.orFail(ctx, state, plan.ReasonApplyFailed, r.repairRelease(ctx))
	case plan.AskRelease:
		return true, r.requestRelease(ctx, state, a)
	case plan.Apply:
		if state.Attempt.Cause == plan.Verify && r.asLeft() {
			r.memory.pending.Clear()
			return false, r.applied(subject.InventoryOf(r.subject), false)
		}
		return r.apply(ctx, state, a.Deep)
	case plan.Prune:
		return r.prune(ctx, state)
	case plan.SkipPrune:
		r.memory.attempt.Stage = plan.Pruned
		return false, nil
	case plan.CheckHealth:
		return false, r.checkHealth(ctx, state)
	default:
		return true, fmt.Errorf("decision %q is unknown", a.Step)
	}
}

func (r *reconciliation) addFinalizer(ctx context.Context) error {
	base := r.stored.Copy().Object()
	controllerutil.AddFinalizer(r.subject.Object(), finalizer)
	patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, r.subject.Object(), patch, client.FieldOwner(Name)); err != nil {
		return fmt.Errorf("add finalizer: %w", err)
	}
	r.wrote()
	return nil
}

// wrote notes that the API server now has what is in memory.
func (r *reconciliation) wrote() {
	r.stored = r.subject.Copy()
	r.memory.writes.Wrote(r.stored)
}

// answer tells that a token was seen although nothing was done: the subject is suspended.
func (r *reconciliation) answer(ctx context.Context, token string) error {
	r.subject.SetToken(token)
	return r.patchStatus(ctx)
}

// wait ends a reconciliation with the attempt unfinished; only a long one is reported.
func (r *reconciliation) wait(ctx context.Context, state plan.State, a plan.Action) error {
	if a.Rule == plan.RuleHealthAwaited && !r.memory.healthAwaited {
		r.memory.healthAwaited = true
		r.tellApplied(ctx, state)
	}
	if !a.Progress {
		return nil
	}
	return r.progress(ctx, state, a)
}

// begin starts an attempt. One that only says that a revision moved looks at the health of what is known to be unhealthy
// all the same.
func (r *reconciliation) begin(state plan.State, cause plan.Cause) error {
	m := r.memory
	save := m.attempt.Begin(plan.GoalOf(state), cause, r.now)
	r.release.Restart()
	r.health, r.reported, m.healthAwaited = nil, false, false
	if cause == plan.Requested || cause == plan.Changed {
		m.health.Restart()
	}
	if cause == plan.Moved && state.Subject.Checks && m.health.FoundUnhealthy() {
		m.attempt.SkipToHealth(r.now)
	}
	r.passGate()
	if !save {
		return nil
	}
	return r.save()
}

// save keeps how far the attempt is.
func (r *reconciliation) save() error { return r.Store.SaveState(r.key, r.memory.attempt.Progress) }

// orFail ends the attempt with an error, if there is one.
func (r *reconciliation) orFail(ctx context.Context, state plan.State, reason string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return r.fail(ctx, state, plan.Action{Step: plan.Fail, Reason: reason, Message: err.Error()})
}

// repairRelease puts Helm's storage in order.
func (r *reconciliation) repairRelease(ctx context.Context) error {
	repaired, err := r.release.Repair(ctx)
	r.memory.attempt.AddChanges(repaired.Changes, r.Now())
	if err != nil || !repaired.Uninstalled {
		return err
	}
	return r.patchStatus(ctx)
}

// requestRelease publishes the parameters of the next release; render-controller follows them.
func (r *reconciliation) requestRelease(ctx context.Context, state plan.State, a plan.Action) error {
	r.release.Recheck()
	r.memory.record.SetSubject(state.Subject)
	r.memory.record.SetRelease(r.release.Requested(state.Release.Next))
	if err := r.writeRecord(ctx); err != nil {
		return err
	}
	if a.Progress {
		return r.progress(ctx, state, a)
	}
	return nil
}
