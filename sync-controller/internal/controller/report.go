package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// Bounds of what is written for readers.
const (
	maxEntries = 50
	maxMessage = 20000
	maxHistory = 10
)

// succeed ends the attempt, if it has not ended yet, and reports it.
func (p *pass) succeed(ctx context.Context, state plan.State) error {
	ended := p.end(plan.ReasonSucceeded)
	if ended {
		if err := p.concludeRelease(ctx, ""); err != nil {
			p.goOn()
			return err
		}
	}
	goal := p.mem.record.Goal
	reason, message := p.subject.success(goal)
	p.mem.record.Reported, p.mem.record.Message, p.mem.record.Stalled = reason, message, false
	p.subject.applied(goal)
	verdict := plan.Verdict{Ready: metav1.ConditionTrue, Reason: reason, Message: message, Checks: state.Subject.Checks && p.Kind.healthy, Health: metav1.ConditionTrue}
	return p.report(ctx, state, verdict, nil, ended)
}

// fail ends the attempt, unless the failure is not its own, and reports it.
func (p *pass) fail(ctx context.Context, state plan.State, a plan.Action) error {
	verdict := plan.Verdict{Ready: metav1.ConditionFalse, Reason: a.Reason, Message: shorten(a.Message), Stalled: a.Stalled, Checks: state.Subject.Checks && p.Kind.healthy}
	if a.Waiting {
		verdict.Ready = metav1.ConditionUnknown
	}
	ended := false
	if !a.Outside {
		if a.Reason == plan.ReasonHealthCheckFailed {
			verdict.Health = metav1.ConditionFalse
		}
		ended = p.end(a.Reason)
		if ended {
			if err := p.concludeRelease(ctx, verdict.Message); err != nil {
				p.goOn()
				return err
			}
		}
		verdict.Reason = p.subject.failure(a.Reason)
		if why := p.subject.exhausted(a.Reason); why != "" {
			verdict.Stalled, verdict.StalledReason, verdict.StalledMessage = true, plan.ReasonRetriesExceeded, why
		}
		p.mem.record.Stalled = verdict.Stalled
		p.mem.record.Reported, p.mem.record.Message = verdict.Reason, verdict.Message
	} else {
		verdict.Reason = p.subject.refused(a.Reason)
		if p.render != nil && p.render.Source.Revision != "" {
			p.subject.attempted(plan.Goal{Revision: p.render.Source.Revision})
		}
	}
	return p.report(ctx, state, verdict, a.BlockedBy, ended)
}

// end notes the outcome of the running attempt. It says whether there was one, or a better one than before.
func (p *pass) end(outcome string) bool {
	r := &p.mem.record
	if r.Stage == plan.Ended && r.Outcome == outcome {
		return false
	}
	p.unreported = *r
	r.Stage, r.Outcome, r.EndedAt = plan.Ended, outcome, p.Now()
	return true
}

// goOn takes the end of an attempt back that could not be written: the next pass ends it again.
func (p *pass) goOn() {
	r, before := &p.mem.record, p.unreported
	r.Stage, r.Outcome, r.EndedAt = before.Stage, before.Outcome, before.EndedAt
}

// report is the one place that writes an outcome: where something changed the Sync record, then the status in one patch,
// token included; then come events. The status is last, because it says that everything is said: a process that ends
// between the two is followed by one that ends the attempt again.
func (p *pass) report(ctx context.Context, state plan.State, v plan.Verdict, blockedBy []string, ended bool) error {
	before := p.stored
	p.noteStatus(state, v, ended)
	p.noteOutcome(state, v, blockedBy, ended)
	err := p.writeSync(ctx)
	if err == nil {
		err = p.patchStatus(ctx)
	}
	if err != nil {
		if ended {
			p.goOn()
		}
		return err
	}
	p.reported = true
	var told *v1alpha1.ChangeSet
	if ended {
		told, p.mem.record.Change = p.mem.record.Change, nil
	}
	p.tellOutcome(before, v, told, ended)
	if ended && (told != nil || p.worthKeeping()) {
		return p.save()
	}
	return nil
}

// noteStatus brings the subject's status in memory to what is to be reported.
func (p *pass) noteStatus(state plan.State, v plan.Verdict, ended bool) {
	goal := p.mem.record.Goal
	p.subject.setToken(state.Subject.Token)
	if ended || p.mem.record.Stage == plan.Ended && goal.Revision != "" && v.Ready == metav1.ConditionTrue {
		p.subject.attempted(goal)
	}
	if p.mem.planned != nil && pruned(p.mem.record) {
		p.subject.setInventory(p.finalInventory())
	}
	if v.Conditions(p.subject.conditions(), state.Subject.Generation, p.now) {
		p.subject.setObserved(state.Subject.Generation)
	}
	p.subject.settled(v, p.now)
	if ended && recorded(p.mem.record.Outcome) && !p.unchangedStatus() {
		p.subject.record(entry{goal: goal, outcome: v.Reason, at: p.now, took: p.now.Sub(p.mem.record.Started).Round(time.Millisecond)})
	}
}

// recorded says whether an outcome is a line of history: one of an attempt that came as far as the cluster, as in Flux.
func recorded(outcome string) bool {
	switch outcome {
	case plan.ReasonSucceeded, plan.ReasonApplyFailed, plan.ReasonPruneFailed, plan.ReasonHealthCheckFailed:
		return true
	}
	return false
}

// worthKeeping says whether a restart should know how the attempt ended: not if it found everything as it was.
func (p *pass) worthKeeping() bool {
	r := p.mem.record
	return r.Outcome != plan.ReasonSucceeded || r.Release != 0 || (r.Cause != plan.Moved && r.Cause != plan.Verify)
}

// pruned says whether the attempt went as far as pruning, so that the inventory is what it left.
func pruned(r progress) bool {
	return r.Stage == plan.Ended && (r.Outcome == plan.ReasonSucceeded || r.Outcome == plan.ReasonPruneFailed || r.Outcome == plan.ReasonHealthCheckFailed)
}

// progress says that an attempt is under way that lasts. A failure that is being retried stays until its outcome is known.
func (p *pass) progress(ctx context.Context, state plan.State, a plan.Action) error {
	if s := p.subject.status(); s.Ready == string(metav1.ConditionFalse) && s.ReadyGeneration == state.Subject.Generation {
		return nil
	}
	v := plan.Verdict{Ready: metav1.ConditionUnknown, Reason: a.Reason, Message: a.Message, Checks: state.Subject.Checks && p.Kind.healthy}
	if state.Attempt.Stage == plan.Pruned {
		v.Health = metav1.ConditionUnknown
	}
	v.Conditions(p.subject.conditions(), state.Subject.Generation, p.now)
	if err := p.patchStatus(ctx); err != nil {
		return err
	}
	p.noteOutcome(state, v, a.BlockedBy, false)
	return p.writeSync(ctx)
}

// unchangedStatus says that nothing in memory differs from what the API server has.
func (p *pass) unchangedStatus() bool {
	return equality.Semantic.DeepEqual(p.subject.object(), p.stored.object())
}

// patchStatus writes the status as it is in memory, if it differs from what the API server has.
func (p *pass) patchStatus(ctx context.Context) error {
	if p.unchangedStatus() {
		return nil
	}
	patch, err := p.statusPatch()
	if err != nil {
		return fmt.Errorf("compare status: %w", err)
	}
	err = p.Client.Status().Patch(ctx, p.subject.object(), patch, client.FieldOwner(Name))
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("write status: %w", err)
	}
	p.wrote()
	return nil
}

// statusPatch is what differs from what the API server has. An inventory that stays is left out before both sides become
// JSON: it is most of the object, and most commits leave most inventories alone.
func (p *pass) statusPatch() (client.Patch, error) {
	before, after := p.stored.copied(), p.subject.copied()
	stays := len(before.inventory()) > 0 && slices.Equal(before.inventory(), after.inventory())
	for _, s := range []subject{before, after} {
		s.object().SetManagedFields(nil)
		if stays {
			s.setInventory(nil)
		}
	}
	data, err := client.MergeFrom(before.object()).Data(after.object())
	return client.RawPatch(types.MergePatchType, data), err
}

// tellOutcome sends events: to core/v1 when something changed or went wrong, to the bus for every new state or revision.
// before is the subject as the API server had it; change is what an attempt that ended has changed, nil for nothing.
func (p *pass) tellOutcome(before subject, v plan.Verdict, change *v1alpha1.ChangeSet, ended bool) {
	var lines []string
	if change != nil {
		lines = change.Entries
	}
	switch v.Ready {
	case metav1.ConditionTrue:
		p.tellSuccess(v, lines, p.recovered(before), ended && p.mem.record.Release != 0)
		p.mem.troubled = false
	case metav1.ConditionFalse:
		p.tellFailure(before, v, lines)
		p.mem.troubled = p.mem.troubled || isFailure(string(v.Ready), v.Reason)
	case metav1.ConditionUnknown:
	}
	p.announceState()
}

// recovered says whether a failure was told that is over now.
func (p *pass) recovered(before subject) bool {
	status := before.status()
	return p.mem.troubled || isFailure(status.Ready, status.Reason)
}

// tellSuccess tells what an attempt has changed; of one that has changed nothing, the end of a failure. Of a HelmRelease
// the Ready condition goes to the bus for itself, as it does in Flux.
func (p *pass) tellSuccess(v plan.Verdict, lines []string, recovered, released bool) {
	switch {
	case len(lines) > 0 && p.Kind.listsChanges:
		p.tell(corev1.EventTypeNormal, meta.ProgressingReason, joinLines(lines))
	case released:
		p.write(corev1.EventTypeNormal, v.Reason, v.Message)
	case len(lines) > 0:
		p.tell(corev1.EventTypeNormal, ReasonDriftCorrected, joinLines(lines))
	case recovered && p.Kind.listsChanges:
		p.tell(corev1.EventTypeNormal, v.Reason, "recovered: "+v.Message)
	case recovered:
		p.write(corev1.EventTypeNormal, v.Reason, "recovered: "+v.Message)
	}
}

// tellFailure tells what an attempt has changed before it failed, and why it did, unless that was told.
func (p *pass) tellFailure(before subject, v plan.Verdict, lines []string) {
	if len(lines) > 0 && p.Kind.listsChanges {
		p.tell(corev1.EventTypeNormal, meta.ProgressingReason, joinLines(lines))
	}
	if p.subject.status() == before.status() && p.subject.version() == before.version() && readyMessage(p.subject) == readyMessage(before) {
		return
	}
	eventType := corev1.EventTypeNormal
	if isFailure(string(v.Ready), v.Reason) {
		eventType = corev1.EventTypeWarning
	}
	p.write(eventType, v.Reason, v.Message)
}

// readyMessage is the message of a subject's Ready condition; empty without one.
func readyMessage(s subject) string {
	if ready := apimeta.FindStatusCondition(*s.conditions(), meta.ReadyCondition); ready != nil {
		return ready.Message
	}
	return ""
}

func shorten(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage], "") + "…"
}

func joinLines(lines []string) string { return strings.Join(lines, "\n") }

func limit(lines []string, most int) []string { return lines[:min(len(lines), most)] }
