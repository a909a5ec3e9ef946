package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/record"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// maxMessage bounds the message of a condition, in bytes.
const maxMessage = 20000

// succeed ends the attempt, if it has not ended yet, and reports it.
func (r *reconciliation) succeed(ctx context.Context, state plan.State) error {
	if err := r.release.LeaveChart(ctx); err != nil {
		return err
	}
	ended, err := r.end(ctx, plan.ReasonSucceeded, "")
	if err != nil {
		return err
	}
	a := &r.memory.attempt
	reason, message := r.subject.Success(a.Goal)
	a.Reported, a.Message, a.Stalled = reason, message, false
	r.subject.SetApplied(a.Goal)
	verdict := plan.Verdict{Ready: metav1.ConditionTrue, Reason: reason, Message: message, Checks: r.judgesHealth(state), Health: metav1.ConditionTrue}
	return r.report(ctx, state, verdict, nil, ended)
}

// fail ends the attempt, unless the failure is not its own, and reports it.
func (r *reconciliation) fail(ctx context.Context, state plan.State, a plan.Action) error {
	verdict := plan.Verdict{Ready: metav1.ConditionFalse, Reason: a.Reason, Message: shorten(a.Message), Stalled: a.Stalled, Checks: r.judgesHealth(state)}
	if a.Waiting {
		verdict.Ready = metav1.ConditionUnknown
	}
	if a.Outside {
		verdict.Reason = r.subject.RefusalReason(a.Reason)
		if r.render != nil && r.render.Source.Revision != "" {
			r.subject.SetAttempted(plan.Goal{Revision: r.render.Source.Revision, OriginRevision: r.render.Source.OriginRevision})
		}
		return r.report(ctx, state, verdict, a.BlockedBy, false)
	}
	if a.Reason == plan.ReasonHealthCheckFailed {
		verdict.Health = metav1.ConditionFalse
	}
	ended, err := r.end(ctx, a.Reason, verdict.Message)
	if err != nil {
		return err
	}
	verdict.Reason = r.subject.FailureReason(a.Reason)
	if why := r.subject.Exhausted(a.Reason); why != "" {
		verdict.Stalled, verdict.StalledReason, verdict.StalledMessage = true, plan.ReasonRetriesExceeded, why
	}
	attempt := &r.memory.attempt
	attempt.Stalled, attempt.Reported, attempt.Message = verdict.Stalled, verdict.Reason, verdict.Message
	return r.report(ctx, state, verdict, a.BlockedBy, ended)
}

// judgesHealth says whether the conditions speak of health.
func (r *reconciliation) judgesHealth(state plan.State) bool {
	return state.Subject.Checks && r.Kind.HasHealthy
}

// end ends the attempt, and the release that it began, and says whether it had not ended yet. failure is empty when it
// went well.
func (r *reconciliation) end(ctx context.Context, outcome, failure string) (ended bool, err error) {
	if !r.memory.attempt.End(outcome, r.Now()) {
		return false, nil
	}
	released, err := r.release.Conclude(ctx, failure)
	if err != nil {
		r.memory.attempt.Reopen()
		return false, err
	}
	r.memory.record.SetRelease(released)
	return true, nil
}

// report is the one place that writes an outcome: where something changed the Sync record, then the status in one patch,
// token included; then come events. The status is last, because it says that everything is said: a process that ends
// between the two is followed by one that ends the attempt again.
func (r *reconciliation) report(ctx context.Context, state plan.State, v plan.Verdict, blockedBy []string, ended bool) error {
	m, before := r.memory, r.stored
	r.setStatus(state, v, ended)
	m.record.SetOutcome(r.outcome(state, v, blockedBy, ended))
	err := r.writeRecord(ctx)
	if err == nil {
		err = r.patchStatus(ctx)
	}
	if err != nil {
		if ended {
			m.attempt.Reopen()
		}
		return err
	}
	r.reported = true
	var change *v1alpha1.ChangeSet
	if ended {
		change = m.attempt.TakeChange()
	}
	r.tell(ctx, told{state: state, before: before, verdict: v, change: change, ended: ended})
	if ended && (change != nil || m.attempt.WorthSaving()) {
		return r.save()
	}
	return nil
}

// outcome is what the Sync record is to say.
func (r *reconciliation) outcome(state plan.State, v plan.Verdict, blockedBy []string, ended bool) record.Outcome {
	return record.Outcome{
		Subject: state.Subject, Attempt: r.memory.attempt.Progress, Verdict: v, BlockedBy: blockedBy, Render: r.render,
		Health: &r.memory.health, Ended: ended, At: r.now,
	}
}

// setStatus brings the subject's status in memory to what is to be reported.
func (r *reconciliation) setStatus(state plan.State, v plan.Verdict, ended bool) {
	a := &r.memory.attempt
	r.subject.SetToken(state.Subject.Token)
	if ended || a.Stage == plan.Ended && a.Goal.Revision != "" && v.Ready == metav1.ConditionTrue {
		r.subject.SetAttempted(a.Goal)
	}
	if a.Planned != nil && a.ReachedPrune() {
		r.subject.SetInventory(a.Inventory().Refs())
	}
	if v.Conditions(r.subject.Conditions(), state.Subject.Generation, r.now) {
		r.subject.SetObserved(state.Subject.Generation)
	}
	r.subject.SetFollowing(v, r.now)
	if ended && a.ReachedCluster() && (a.Change != nil || !r.unchangedStatus()) {
		r.subject.AddHistory(subject.HistoryEntry{Goal: a.Goal, Outcome: v.Reason, At: r.now, Took: r.now.Sub(a.Started).Round(time.Millisecond)})
	}
}

// progress says that an attempt is under way that lasts. A failure that is being retried stays until its outcome is known.
func (r *reconciliation) progress(ctx context.Context, state plan.State, a plan.Action) error {
	if s := r.subject.Reported(); s.Ready == string(metav1.ConditionFalse) && s.ReadyGeneration == state.Subject.Generation {
		return nil
	}
	v := plan.Verdict{Ready: metav1.ConditionUnknown, Reason: a.Reason, Message: a.Message, Checks: r.judgesHealth(state)}
	if state.Attempt.Stage == plan.Pruned {
		v.Health = metav1.ConditionUnknown
	}
	v.Conditions(r.subject.Conditions(), state.Subject.Generation, r.now)
	if err := r.patchStatus(ctx); err != nil {
		return err
	}
	r.memory.record.SetOutcome(r.outcome(state, v, a.BlockedBy, false))
	return r.writeRecord(ctx)
}

// writeRecord writes the Sync record as it is in memory.
func (r *reconciliation) writeRecord(ctx context.Context) error {
	return r.memory.record.Write(ctx, r.Client, r.Kind, r.subject.Object())
}

// restoreRecord writes a Sync record again that somebody deleted.
func (r *reconciliation) restoreRecord(ctx context.Context) error {
	m := r.memory
	if !m.recordDeleted.Swap(false) || r.spec().Deleting {
		return nil
	}
	m.record.Deleted()
	err := r.writeRecord(ctx)
	if err != nil {
		m.recordDeleted.Store(true)
	}
	return err
}

// unchangedStatus says that nothing in memory differs from what the API server has.
func (r *reconciliation) unchangedStatus() bool {
	return equality.Semantic.DeepEqual(r.subject.Object(), r.stored.Object())
}

// patchStatus writes the status as it is in memory, if it differs from what the API server has.
func (r *reconciliation) patchStatus(ctx context.Context) error {
	if r.unchangedStatus() {
		return nil
	}
	patch, err := r.statusPatch()
	if err != nil {
		return fmt.Errorf("compare status: %w", err)
	}
	err = r.Client.Status().Patch(ctx, r.subject.Object(), patch, client.FieldOwner(Name))
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("write status: %w", err)
	}
	r.wrote()
	return nil
}

// statusPatch is what differs from what the API server has. An inventory that stays is left out before both sides become
// JSON: it is most of the object, and most commits leave most inventories alone.
func (r *reconciliation) statusPatch() (client.Patch, error) {
	before, after := r.stored.Copy(), r.subject.Copy()
	stays := len(before.Inventory()) > 0 && slices.Equal(before.Inventory(), after.Inventory())
	for _, s := range []subject.Subject{before, after} {
		s.Object().SetManagedFields(nil)
		if stays {
			s.SetInventory(nil)
		}
	}
	data, err := client.MergeFrom(before.Object()).Data(after.Object())
	return client.RawPatch(types.MergePatchType, data), err
}

func shorten(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage], "") + "…"
}
