package journal

import (
	"fmt"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// maxNamed is how many objects a line names.
const maxNamed = 10

// Outcome is what a report says, and how it came about.
type Outcome struct {
	// Before is the status as it was, Verdict what it says now.
	Before  plan.Status
	Verdict plan.Verdict
	// Ended says that an attempt ended just now; Cause is why it was made, Release whether it made one.
	Ended   bool
	Cause   plan.Cause
	Release bool
	// Revision of the source that was applied, or could not be.
	Revision string
	// Change is what was changed; nil when nothing was. Objects is how many there are.
	Change  *v1alpha1.ChangeSet
	Objects int
	// Took is how long the attempt lasted. Healthy is how long it waited for health, of which Applied told; 0 when it did not
	// have to.
	Took, Healthy time.Duration
	// After is when a failure is tried again; 0 when it is not.
	After time.Duration
}

// Memory is what was logged of one subject, so that it is not logged again. The zero value is nothing.
type Memory struct {
	// failure is the state that was logged, empty when it is over; attempts counts how often it was met.
	failure  string
	attempts int
	// refused is why drift could not be corrected.
	refused string
	// decided is the latest decision.
	decided plan.Action
}

// Outcome logs what a report says, if that is news.
func (m *Memory) Outcome(log logr.Logger, o Outcome) {
	switch o.Verdict.Ready {
	case metav1.ConditionTrue:
		m.success(log, o)
	case metav1.ConditionFalse:
		m.problem(log, o)
	case metav1.ConditionUnknown:
	}
}

// Applied logs what an attempt has done that now waits for health, which may take long or be overtaken by a newer revision.
func (m *Memory) Applied(log logr.Logger, o Outcome) {
	done := o.done()
	switch {
	case done == "":
	case m.failure != "" && o.Change == nil:
		log.V(logkey.Debug).Info(done, o.values()...)
	default:
		log.Info(done, o.values()...)
	}
	o.logPruned(log)
}

func (m *Memory) success(log logr.Logger, o Outcome) {
	v := o.Before
	failed := m.failure != "" && !strings.HasPrefix(m.failure, plan.ReasonDependency) ||
		v.Ready == string(metav1.ConditionFalse) && v.Reason != plan.ReasonDependency
	m.failure, m.attempts = "", 0
	done := o.done()
	if o.Ended && o.Healthy > 0 && !o.Release {
		done = "healthy after " + round(o.Healthy)
	}
	switch {
	case done != "" && failed:
		log.Info("recovered: "+done, o.values()...)
	case done != "":
		log.Info(done, o.values()...)
	case failed:
		log.Info("recovered: "+o.Verdict.Message, logkey.Revision, o.Revision, logkey.Reason, o.Verdict.Reason)
	}
	if o.Healthy == 0 {
		o.logPruned(log)
	}
}

// problem logs that something failed, or is not begun, once for each reason, message and revision.
func (m *Memory) problem(log logr.Logger, o Outcome) {
	v := o.Verdict
	state := strings.Join([]string{v.Reason, v.Message, o.Revision}, "\n")
	if v.Stalled { // no revision mends it
		state = v.Reason + "\n" + v.Message
	}
	again := state == m.failure
	if !again {
		m.failure, m.attempts = state, 0
	}
	if o.Ended || !again {
		m.attempts++
	}
	values := append(o.values(), logkey.Reason, v.Reason, logkey.Attempt, m.attempts)
	if o.After > 0 {
		values = append(values, logkey.After, round(o.After))
	}
	switch {
	case again && !o.Ended:
	case again:
		log.V(logkey.Debug).Info("failed again: "+v.Message, values...)
	default:
		log.Info(o.failed()+": "+v.Message, values...)
	}
	if o.Healthy == 0 {
		o.logPruned(log)
	}
}

// done says what an attempt has done; empty when it found everything as it was, or when none ended.
func (o Outcome) done() string {
	switch {
	case !o.Ended:
		return ""
	case o.Release:
		return o.released() + " in " + round(o.Took) + ": " + o.counts()
	case o.Cause == plan.Moved:
		return "moved to " + o.Revision + ", whose content is the same"
	case o.Cause == plan.Verify && o.Change == nil:
		return ""
	case o.Cause == plan.Verify:
		return fmt.Sprintf("corrected drift of %s, found by comparing: %s", o.corrected(), o.counts())
	}
	return "applied " + o.Revision + " in " + round(o.Took) + ": " + o.counts()
}

// corrected names what the attempt has created or configured.
func (o Outcome) corrected() string {
	var names []string
	for _, line := range o.Change.Entries {
		if object, action, _ := strings.Cut(line, " "); action != logkey.Deleted {
			names = append(names, object)
		}
	}
	return named(names, o.Change.Created+o.Change.Configured)
}

// released is what the Ready condition says of a release, with what was done first: "installed release apps/web.v1 with …".
func (o Outcome) released() string {
	done := "upgraded"
	if o.Verdict.Reason == helmv2.InstallSucceededReason {
		done = "installed"
	}
	_, what, _ := strings.Cut(o.Verdict.Message, " for ")
	return done + " " + what
}

func (o Outcome) failed() string {
	switch o.Verdict.Reason {
	case plan.ReasonDependency:
		return "waited to apply " + o.Revision
	case helmv2.InstallFailedReason:
		return "failed to install " + o.Revision
	case helmv2.UpgradeFailedReason:
		return "failed to upgrade to " + o.Revision
	}
	return strings.TrimSpace("failed to apply " + o.Revision)
}

// counts is what became of how many objects: "2 created, 11 unchanged".
func (o Outcome) counts() string {
	c := o.changes()
	var parts []string
	for _, part := range []struct {
		n    int64
		what string
	}{{c.Created, logkey.Created}, {c.Configured, logkey.Configured}, {c.Deleted, logkey.Deleted}, {c.Unchanged, logkey.Unchanged}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if len(parts) == 0 {
		return "no objects"
	}
	return strings.Join(parts, ", ")
}

func (o Outcome) changes() v1alpha1.ChangeSet {
	var c v1alpha1.ChangeSet
	if o.Change != nil {
		c = *o.Change
	}
	if o.Verdict.Ready == metav1.ConditionTrue {
		c.Unchanged = max(0, int64(o.Objects)-c.Created-c.Configured)
	}
	return c
}

// values are the keys of a line about an attempt.
func (o Outcome) values() []any {
	values := []any{logkey.Revision, o.Revision}
	if !o.Ended {
		return values
	}
	c := o.changes()
	return append(values, logkey.Duration, round(o.Took), logkey.Created, c.Created, logkey.Configured, c.Configured,
		logkey.Deleted, c.Deleted, logkey.Unchanged, c.Unchanged)
}

// logPruned names what the attempt has deleted.
func (o Outcome) logPruned(log logr.Logger) {
	if o.Change == nil || o.Change.Deleted == 0 {
		return
	}
	var names []string
	for _, line := range o.Change.Entries {
		if object, deleted := strings.CutSuffix(line, " deleted"); deleted {
			names = append(names, object)
		}
	}
	log.Info(fmt.Sprintf("pruned %s: %s", objects(o.Change.Deleted), named(names, o.Change.Deleted)),
		logkey.Revision, o.Revision, logkey.Deleted, o.Change.Deleted)
}

// named lists the first of so many objects.
func named(names []string, n int64) string {
	shown := names[:min(len(names), maxNamed)]
	text := strings.Join(shown, ", ")
	if rest := n - int64(len(shown)); rest > 0 {
		text += fmt.Sprintf(" and %d more", rest)
	}
	return text
}

func objects(n int64) string {
	if n == 1 {
		return "1 object"
	}
	return fmt.Sprintf("%d objects", n)
}

func round(d time.Duration) string { return d.Round(time.Millisecond).String() }
