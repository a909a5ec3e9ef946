package events

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Outcome is what a report says.
type Outcome struct {
	// Before is the subject as the API server had it, After as it is now.
	Before, After subject.Subject
	Verdict       plan.Verdict
	// Changed are the objects that the attempt has changed, one a line.
	Changed []string
	// Released says that the attempt ended with a release.
	Released bool
	// Waited is how long it took from the apply to the verdict about health, where health decides.
	Waited time.Duration
	At     time.Time
}

// Reported remembers of one subject what was emitted. The zero value is nothing.
type Reported struct {
	// state is the event that announced its state last, failure says that a failure was reported, and not its end.
	state   string
	failure bool
	// refused is why drift could not be corrected the last time; empty when it could.
	refused string
}

// Outcome emits events: to core/v1 when something changed or went wrong, to the bus for every new state or revision.
func (e *Emitter) Outcome(o Outcome, reported *Reported) {
	switch o.Verdict.Ready {
	case metav1.ConditionTrue:
		before := o.Before.Reported()
		e.success(o, reported.failure || isFailure(before.Ready, before.Reason), reported)
		reported.failure = false
	case metav1.ConditionFalse:
		e.failure(o)
		reported.failure = reported.failure || isFailure(string(o.Verdict.Ready), o.Verdict.Reason)
	case metav1.ConditionUnknown:
	}
	if id := e.State(o.After, reported.state); id != "" {
		reported.state = id
	}
}

// success tells what an attempt has changed; of one that has changed nothing, the end of a failure. Of a HelmRelease the
// Ready condition goes to the bus for itself, as it does in Flux.
func (e *Emitter) success(o Outcome, recovered bool, reported *Reported) {
	v := o.Verdict
	switch {
	case len(o.Changed) > 0 && e.Kind.ListsChanges:
		e.Emit(o.After, o.At, Normal, meta.ProgressingReason, o.Changed...)
	case o.Released:
		e.record(o.After, Normal, v.Reason, v.Message)
	case len(o.Changed) > 0:
		e.Drift(o.After, o.At, driftOf(o.Changed), reported)
	case recovered && e.Kind.ListsChanges:
		e.Emit(o.After, o.At, Normal, v.Reason, "recovered: "+v.Message)
	case recovered:
		e.record(o.After, Normal, v.Reason, "recovered: "+v.Message)
	}
	if v.Checks && len(o.Changed) > 0 && (recovered || o.Before.Version() != o.After.Version()) {
		e.publish(o.After, o.At, Normal, meta.ProgressingReason, "Health check passed in "+o.Waited.Round(time.Millisecond).String())
	}
}

// failure tells what an attempt has changed before it failed, and why it did, unless that was told.
func (e *Emitter) failure(o Outcome) {
	v := o.Verdict
	if len(o.Changed) > 0 && e.Kind.ListsChanges {
		e.Emit(o.After, o.At, Normal, meta.ProgressingReason, o.Changed...)
	}
	if o.After.Reported() == o.Before.Reported() && o.After.Version() == o.Before.Version() && readyMessage(o.After) == readyMessage(o.Before) {
		return
	}
	eventType := Normal
	if isFailure(string(v.Ready), v.Reason) {
		eventType = Warning
	}
	e.record(o.After, eventType, v.Reason, e.wording(v.Reason, v.Message))
}

// readyMessage is the message of a subject's Ready condition; empty without one.
func readyMessage(s subject.Subject) string {
	if ready := subject.Ready(s); ready != nil {
		return ready.Message
	}
	return ""
}
