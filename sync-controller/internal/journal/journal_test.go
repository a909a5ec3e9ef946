package journal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/events"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// written collects lines as "0 message", the verbosity first.
func written() (logr.Logger, *[]string) {
	lines := &[]string{}
	return funcr.NewJSON(func(line string) {
		level, message := between(line, `"level":`, `,`), between(line, `"msg":"`, `","`)
		*lines = append(*lines, level+" "+strings.TrimSuffix(message, `"}`))
	}, funcr.Options{Verbosity: 9}), lines
}

func between(text, before, after string) string {
	_, rest, _ := strings.Cut(text, before)
	found, _, _ := strings.Cut(rest, after)
	return found
}

func TestOutcome(t *testing.T) {
	change := &v1alpha1.ChangeSet{Created: 1, Deleted: 2, Entries: []string{"ConfigMap/apps/a created", "ConfigMap/apps/b deleted", "ConfigMap/apps/c deleted"}}
	ready := plan.Verdict{Ready: "True", Reason: plan.ReasonSucceeded, Message: "Applied revision: r1"}
	bad := plan.Verdict{Ready: "False", Reason: plan.ReasonApplyFailed, Message: "no"}
	stalled := plan.Verdict{Ready: "False", Stalled: true, Reason: plan.ReasonInvalidSpec, Message: "not supported"}
	ended := func(v plan.Verdict, cause plan.Cause, set *v1alpha1.ChangeSet) Outcome {
		return Outcome{Verdict: v, Ended: true, Cause: cause, Revision: "r1", Change: set, Objects: 3, Took: 1200 * time.Millisecond}
	}
	waited := ended(ready, plan.Changed, change)
	waited.Healthy = 3 * time.Second
	outside := Outcome{Verdict: bad, Revision: "r2"}
	blocked := ended(plan.Verdict{Ready: "False", Reason: plan.ReasonDependency, Message: "dependency 'x' not found"}, plan.Changed, nil)
	before := ended(ready, plan.Moved, nil)
	before.Before = plan.Status{Ready: "False", Reason: plan.ReasonBuildFailed}
	for name, tt := range map[string]struct {
		reason   string
		outcomes []Outcome
		want     []string
	}{
		"changed":  {"what became of how many, and what is gone", []Outcome{ended(ready, plan.Changed, change)}, []string{"0 applied r1 in 1.2s: 1 created, 2 deleted, 2 unchanged", "0 pruned 2 objects: ConfigMap/apps/b, ConfigMap/apps/c"}},
		"asked":    {"an answer to a request, though nothing changed", []Outcome{ended(ready, plan.Requested, nil)}, []string{"0 applied r1 in 1.2s: 3 unchanged"}},
		"interval": {"nothing found, nothing written", []Outcome{ended(ready, plan.Verify, nil)}, nil},
		"drift":    {"an interval that found something", []Outcome{ended(ready, plan.Verify, &v1alpha1.ChangeSet{Configured: 1, Entries: []string{"ConfigMap/apps/a configured"}})}, []string{"0 corrected drift of ConfigMap/apps/a, found by comparing: 1 configured, 2 unchanged"}},
		"stalled":  {"what the spec rules out is told once, whatever the revision", []Outcome{{Verdict: stalled}, {Verdict: stalled, Revision: "r1"}}, []string{"0 failed to apply: not supported"}},
		"moved":    {"a revision without news", []Outcome{ended(ready, plan.Moved, nil)}, []string{"0 moved to r1, whose content is the same"}},
		"again":    {"a success that is only written again is none", []Outcome{{Verdict: ready, Revision: "r1"}}, nil},
		"waited":   {"what was applied was told when the waiting began", []Outcome{waited}, []string{"0 healthy after 3s"}},
		"retries": {
			"a failure is told once, its retries to whoever debugs", []Outcome{ended(bad, plan.Changed, nil), ended(bad, plan.Changed, nil), ended(ready, plan.Changed, nil), ended(bad, plan.Changed, nil)},
			[]string{"0 failed to apply r1: no", "1 failed again: no", "0 recovered: applied r1 in 1.2s: 3 unchanged", "0 failed to apply r1: no"},
		},
		"outside":     {"what is only repeated is not even for debugging", []Outcome{outside, outside}, []string{"0 failed to apply r2: no"}},
		"restarted":   {"the status remembers a failure", []Outcome{before}, []string{"0 recovered: moved to r1, whose content is the same"}},
		"overwritten": {"a failure that ends without an attempt", []Outcome{outside, {Verdict: ready, Revision: "r1"}}, []string{"0 failed to apply r2: no", "0 recovered: Applied revision: r1"}},
		"blocked":     {"to wait is no failure, and its end no recovery", []Outcome{blocked, ended(ready, plan.Changed, nil)}, []string{"0 waited to apply r1: dependency 'x' not found", "0 applied r1 in 1.2s: 3 unchanged"}},
		"unknown":     {"nothing is decided yet", []Outcome{{Verdict: plan.Verdict{Ready: "Unknown"}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			log, lines := written()
			var m Memory
			for _, o := range tt.outcomes {
				m.Outcome(log, o)
			}
			if diff := cmp.Diff(tt.want, *lines, cmp.Transformer("nil", func(l []string) string { return strings.Join(l, "\n") })); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", tt.reason, diff)
			}
		})
	}
}

// TestApplied: a retry that waits for health once more is no news.
func TestApplied(t *testing.T) {
	log, lines := written()
	var m Memory
	o := Outcome{Verdict: plan.Verdict{Ready: "True"}, Ended: true, Cause: plan.Changed, Revision: "r1", Objects: 1}
	m.Applied(log, o)
	m.Outcome(log, Outcome{Verdict: plan.Verdict{Ready: "False", Reason: plan.ReasonHealthCheckFailed, Message: "no"}, Ended: true, Revision: "r1", Healthy: time.Second})
	m.Applied(log, o)
	if diff := cmp.Diff([]string{"0 applied r1 in 0s: 1 unchanged", "0 failed to apply r1: no", "1 applied r1 in 0s: 1 unchanged"}, *lines); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDrift(t *testing.T) {
	log, lines := written()
	var m Memory
	for _, d := range []events.Drift{
		{Corrected: []events.Drifted{{Object: "ConfigMap/apps/a", Manager: "kubectl", Found: "ConfigMap/apps/a was changed by kubectl"}, {Object: "ConfigMap/apps/b", Found: "ConfigMap/apps/b was deleted"}}},
		{Refused: "no"}, {Refused: "no"}, {},
	} {
		m.Drift(log, d)
	}
	want := []string{
		"0 corrected drift of ConfigMap/apps/a, changed by kubectl", "0 corrected drift of ConfigMap/apps/b, deleted",
		"0 failed to correct drift: no", "0 recovered: drift is corrected",
	}
	if diff := cmp.Diff(want, *lines); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestDecided: what goes on waiting decides nothing anew.
func TestDecided(t *testing.T) {
	log, lines := written()
	var m Memory
	wait := plan.Action{Step: plan.Wait, Rule: plan.RuleNotRendered}
	for _, a := range []plan.Action{wait, wait, {Step: plan.Begin, Rule: plan.RuleGoalMoved}, {Step: plan.Idle, Rule: plan.RuleReported}, wait} {
		m.Decided(log, a)
	}
	if diff := cmp.Diff([]string{"1 decided", "1 decided", "1 decided"}, *lines); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNames(t *testing.T) {
	names := make([]string, maxNamed+2)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	if got := named(names, 100); !strings.HasSuffix(got, "8, 9 and 90 more") {
		t.Errorf("got %q", got)
	}
}
