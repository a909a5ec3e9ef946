package record

import (
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/sync-controller/internal/health"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// Conditions of a Sync record beside Ready.
const (
	syncedCondition  = "Synced"
	healthyCondition = "Healthy"
	appliedReason    = "Applied"
)

// Bounds of what is written for readers.
const (
	maxHistory = 10
	// MaxWaiting is how many unhealthy objects are named.
	MaxWaiting = 10
)

// Outcome is what an attempt ended with, or what it waits for.
type Outcome struct {
	Subject   plan.Subject
	Attempt   attempt.Progress
	Verdict   plan.Verdict
	BlockedBy []string
	// Render is the subject's; nil without one.
	Render *v1alpha1.Render
	// Health is what is known of it.
	Health *health.Tracker
	// Ended says that the attempt ended just now.
	Ended bool
	At    time.Time
}

// SetOutcome brings the record to an outcome. What only moved a revision leaves no trace.
func (r *Record) SetOutcome(o Outcome) {
	r.SetSubject(o.Subject)
	s := r.pending()
	s.Tag = o.Attempt.LastApplied.Tag
	s.BlockedBy = o.BlockedBy
	setConditions(s, o)
	r.SetHealth(o.Subject.Checks, o.Health, o.At)
	if o.Ended {
		setAttempt(s, o)
	}
}

// SetSubject says what the record is about.
func (r *Record) SetSubject(of plan.Subject) {
	s := r.pending()
	s.Subject = v1alpha1.Subject{
		Kind: of.Kind, Name: of.Name, UID: of.UID, Generation: of.Generation, RequestedAt: of.Token,
	}
	if s.Health.State == "" {
		s.Health.State = v1alpha1.HealthUnknown
	}
}

// SetRelease says what is released; nil for a subject that releases nothing. A revision of 0 leaves the one that is there.
func (r *Record) SetRelease(release *v1alpha1.Release) {
	if release == nil {
		return
	}
	s := r.pending()
	set := *release
	if set.Revision == 0 && s.Release != nil {
		set.Revision = s.Release.Revision
	}
	s.Release = &set
}

// AddCorrection counts a correction of an object that a field manager had changed.
func (r *Record) AddCorrection(object, manager string, now time.Time) {
	s := r.pending()
	if s.Drift == nil {
		s.Drift = &v1alpha1.Drift{}
	}
	at := metav1.NewTime(now)
	s.Drift.Corrections++
	s.Drift.LastAt, s.Drift.Object, s.Drift.Manager = &at, object, manager
}

// SetHealth says what is known of the objects' health: nothing when nobody asks for it. After a restart what was written
// stands until it is looked at again.
func (r *Record) SetHealth(checks bool, tracker *health.Tracker, now time.Time) {
	s := r.pending()
	report, known := tracker.Report()
	switch {
	case !checks:
		s.Health = summary(health.Report{})
	case known || s.Health.State == "":
		s.Health = summary(report)
	}
	status := metav1.ConditionUnknown
	switch s.Health.State {
	case v1alpha1.HealthHealthy:
		status = metav1.ConditionTrue
	case v1alpha1.HealthFailed:
		status = metav1.ConditionFalse
	}
	setCondition(s, now, healthyCondition, status, s.Health.State, s.Health.Summary)
}

// summary is a report as the record has it.
func summary(r health.Report) v1alpha1.Health {
	h := v1alpha1.Health{State: r.State(), Ready: r.Ready, Total: r.Total, Waiting: r.Waiting(MaxWaiting)}
	if r.Total > 0 {
		h.Summary = fmt.Sprintf("%d/%d", r.Ready, r.Total)
	}
	return h
}

// setAttempt notes how an attempt ended, if it changed something or failed in another way than the one before. Doing it
// again, after a write that failed, changes nothing.
func setAttempt(s *v1alpha1.Sync, o Outcome) {
	goal, change := o.Attempt.Goal, o.Attempt.Change
	known := len(s.History) > 0 && s.History[0].Tag == goal.Tag && s.History[0].Outcome == o.Verdict.Reason
	switch {
	case change != nil:
		known = known && !s.History[0].At.Before(&change.At)
		s.LastChange = change.DeepCopy()
	case o.Verdict.Ready == metav1.ConditionTrue:
		return
	}
	if known {
		return
	}
	line := v1alpha1.Attempt{Revision: goal.Revision, Tag: goal.Tag, Outcome: o.Verdict.Reason, At: metav1.NewTime(o.At).Rfc3339Copy()}
	s.History = append([]v1alpha1.Attempt{line}, s.History[:min(len(s.History), maxHistory-1)]...)
}

// setConditions repeats the verdict without the revision in it.
func setConditions(s *v1alpha1.Sync, o Outcome) {
	v := o.Verdict
	if v.Ready == metav1.ConditionTrue {
		setCondition(s, o.At, meta.ReadyCondition, v.Ready, v.Reason, "the cluster holds what the source asks for")
		setCondition(s, o.At, syncedCondition, metav1.ConditionTrue, appliedReason, "the latest content is applied")
		return
	}
	setCondition(s, o.At, meta.ReadyCondition, v.Ready, v.Reason, v.Message)
	a := o.Attempt
	status := metav1.ConditionFalse
	if o.Render != nil && o.Render.Rendering != nil && a.LastApplied.Tag == o.Render.Rendering.Tag && (a.Stage != plan.Ended || a.ReachedPrune()) {
		status = metav1.ConditionTrue
	}
	setCondition(s, o.At, syncedCondition, status, v.Reason, v.Message)
}

func setCondition(s *v1alpha1.Sync, now time.Time, kind string, status metav1.ConditionStatus, reason, message string) {
	apimeta.SetStatusCondition(&s.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now),
	})
}
