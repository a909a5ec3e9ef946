package attempt

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

var (
	start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	goal  = plan.Goal{UID: "uid", Generation: 1, Revision: "one", Tag: "tag"}
)

func TestRestore(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		stage  plan.Stage
		uid    types.UID
		kept   bool
		want   plan.Stage
	}{
		"another subject": {"one of the same name is another one", plan.Ended, "other", false, plan.None},
		"ended":           {"an end needs nothing", plan.Ended, "uid", true, plan.Ended},
		"applied":         {"which objects it is about is only known after an apply", plan.Applied, "uid", true, plan.Started},
		"pruned":          {"the same", plan.Pruned, "uid", true, plan.Started},
	} {
		t.Run(name, func(t *testing.T) {
			var a Attempt
			kept := a.Restore(Progress{Goal: goal, Stage: tc.stage, AppliedAt: start}, tc.uid)
			if kept != tc.kept || a.Stage != tc.want {
				t.Errorf("%s: kept %t at %q, want %t at %q", tc.reason, kept, a.Stage, tc.kept, tc.want)
			}
		})
	}
}

func TestBegin(t *testing.T) {
	moved := goal
	moved.Revision = "two"
	changed := goal
	changed.Tag = "other"
	for name, tc := range map[string]struct {
		reason string
		goal   plan.Goal
		cause  plan.Cause
		save   bool
		// waitsSince is since when health has been waited for after an apply that changes nothing.
		waitsSince time.Time
	}{
		"moved":     {"a source that moves does not put off the deadline, and is not worth a write", moved, plan.Moved, false, start},
		"changed":   {"other content has a deadline of its own", changed, plan.Changed, true, start.Add(time.Hour)},
		"retried":   {"the same goal is saved already", goal, plan.Changed, false, start},
		"requested": {"the user asks to start anew", moved, plan.Requested, true, start.Add(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			a := Attempt{Progress: Progress{Goal: goal, Stage: plan.Applied, AppliedAt: start, Stalled: true, Release: 3}}
			if save := a.Begin(tc.goal, tc.cause, start.Add(time.Minute)); save != tc.save {
				t.Errorf("%s: worth saving %t", tc.reason, save)
			}
			if a.Stage != plan.Started || a.Stalled || a.Release != 0 {
				t.Errorf("it begins as %+v", a.Progress)
			}
			a.SetApplied(inventory.Inventory{}, false, start.Add(time.Hour))
			if !a.AppliedAt.Equal(tc.waitsSince) {
				t.Errorf("%s: waits since %s, want %s", tc.reason, a.AppliedAt, tc.waitsSince)
			}
		})
	}
}

// An end that could not be written is taken back whole, and comes again.
func TestReopen(t *testing.T) {
	a := Attempt{Progress: Progress{Goal: goal, Stage: plan.Pruned, EndedAt: start}}
	if !a.End(plan.ReasonSucceeded, start.Add(time.Minute)) {
		t.Fatal("it had not ended")
	}
	if a.End(plan.ReasonSucceeded, start.Add(time.Minute)) {
		t.Error("it has ended already, in the same way")
	}
	a = Attempt{Progress: Progress{Goal: goal, Stage: plan.Pruned, EndedAt: start}}
	a.End(plan.ReasonSucceeded, start.Add(time.Minute))
	a.Reopen()
	if a.Stage != plan.Pruned || a.Outcome != "" || !a.EndedAt.Equal(start) {
		t.Errorf("after its end was taken back: %+v", a.Progress)
	}
}

func TestChanges(t *testing.T) {
	a := Attempt{Progress: Progress{Goal: goal}}
	a.AddChanges(apply.ChangeSet{{Action: apply.Unchanged}}, start)
	if a.Change != nil {
		t.Errorf("nothing was changed: %+v", a.Change)
	}
	for range maxEntries + 1 {
		a.AddChanges(apply.ChangeSet{{Action: apply.Created}}, start)
	}
	if a.Change.Created != maxEntries+1 || len(a.Change.Entries) != maxEntries {
		t.Errorf("%d created, %d named", a.Change.Created, len(a.Change.Entries))
	}
	a.DropReported(a.Change.DeepCopy())
	if a.TakeChange() != nil {
		t.Error("an earlier process has reported that")
	}
}

// TestDropReported: what is kept after a kill is what was not reported, also within the second in which something was.
func TestDropReported(t *testing.T) {
	change := func(revision string, created int64, at time.Time) *v1alpha1.ChangeSet {
		return &v1alpha1.ChangeSet{Revision: revision, Created: created, At: metav1.NewTime(at).Rfc3339Copy()}
	}
	kept := change("main@sha1:2", 1, start)
	for name, tc := range map[string]struct {
		reason   string
		reported *v1alpha1.ChangeSet
		drops    bool
	}{
		"nothing":                  {reason: "nothing was reported"},
		"the same":                 {reason: "it was reported, and the process died before it noted that", reported: kept.DeepCopy(), drops: true},
		"an earlier one":           {reason: "it came after that", reported: change("main@sha1:1", 1, start.Add(-time.Minute))},
		"another of that second":   {reason: "two revisions in one second", reported: change("main@sha1:1", 1, start)},
		"a part of it":             {reason: "an attempt went on within the second", reported: change("main@sha1:2", 0, start)},
		"one that came after that": {reason: "the volume is older than the record", reported: change("main@sha1:3", 1, start.Add(time.Minute)), drops: true},
	} {
		t.Run(name, func(t *testing.T) {
			a := Attempt{Progress: Progress{Goal: goal, Change: kept.DeepCopy()}}
			if a.DropReported(tc.reported); (a.Change == nil) != tc.drops {
				t.Errorf("%s: left is %+v", tc.reason, a.Change)
			}
		})
	}
}
