package report_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
)

// calls remembers what was announced.
type calls struct {
	ids    []string
	events []event.Event
}

func (c *calls) Announce(id string, ev event.Event) {
	c.ids = append(c.ids, id)
	c.events = append(c.events, ev)
}

// state is a GitRepository whose Ready condition changed at a second, with an artifact stored at another.
func state(ready metav1.ConditionStatus, message string, since int64, digest string, stored int64) *sourcev1.GitRepository {
	reason := "GitOperationFailed"
	if ready == metav1.ConditionTrue {
		reason = meta.SucceededReason
	}
	obj := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "web", UID: "uid"}}
	obj.Status.Conditions = []metav1.Condition{{
		Type: meta.ReadyCondition, Status: ready, Reason: reason, Message: message, LastTransitionTime: metav1.Unix(since, 0),
	}}
	if digest != "" {
		obj.Status.Artifact = &meta.Artifact{Revision: "main@sha1:1", Digest: digest, LastUpdateTime: metav1.Unix(stored, 0)}
	}
	return obj
}

func TestEmit(t *testing.T) {
	change := report.Change{Reason: "NewArtifact", Message: "stored artifact for commit 'x'"}
	for name, tc := range map[string]struct {
		reason        string
		before, after *sourcev1.GitRepository
		want          string
	}{
		"first artifact": {"", &sourcev1.GitRepository{}, state(yes, "stored", 10, "a", 10), "Normal NewArtifact stored artifact for commit 'x'"},
		"nothing new":    {"an interval passed", state(yes, "stored", 10, "a", 10), state(yes, "stored", 10, "a", 10), ""},
		"new artifact":   {"", state(yes, "stored", 10, "a", 10), state(yes, "stored", 10, "b", 20), "Normal NewArtifact stored artifact for commit 'x'"},
		"failure":        {"", state(yes, "stored", 10, "a", 10), state(no, "down", 20, "a", 10), "Warning GitOperationFailed down"},
		"same failure":   {"it was said", state(no, "down", 20, "a", 10), state(no, "down", 20, "a", 10), ""},
		"other failure":  {"it was not said", state(no, "down", 20, "a", 10), state(no, "gone", 20, "a", 10), "Warning GitOperationFailed gone"},
		"recovery":       {"with the old artifact", state(no, "down", 20, "a", 10), state(yes, "stored", 30, "a", 10), "Normal Succeeded stored"},
		"recovery, new":  {"with a new artifact", state(no, "down", 20, "a", 10), state(yes, "stored", 30, "b", 30), "Normal NewArtifact stored artifact for commit 'x'"},
		"no condition":   {"nothing to say", &sourcev1.GitRepository{}, &sourcev1.GitRepository{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			recorder, bus := record.NewFakeRecorder(10), &calls{}
			r := &report.Reporter{Kind: sourcev1.GitRepositoryKind, Events: recorder, Bus: bus}
			r.Emit(tc.before, tc.after, change)
			got := ""
			if len(recorder.Events) > 0 {
				got = <-recorder.Events
			}
			if !strings.HasPrefix(got, tc.want) || (got == "") != (tc.want == "") {
				t.Errorf("got %q, want %q (%s)", got, tc.want, tc.reason)
			}
			if (len(bus.ids) == 1) != (tc.want != "") {
				t.Fatalf("announced %d events", len(bus.ids))
			}
			if tc.want == "" {
				return
			}
			r.Reannounce(tc.after, report.Change{Reason: "NewArtifact"})
			if bus.ids[0] != bus.ids[1] || bus.events[0].Reason != bus.events[1].Reason {
				t.Errorf("announced again, it is another event: %s, %s", bus.events[0].Reason, bus.events[1].Reason)
			}
			if _, err := event.Wrap(bus.ids[0], bus.events[0]); err != nil {
				t.Errorf("the event is not complete: %v", err)
			}
		})
	}
}

// TestSameContentOfAnotherRevision holds that commit statuses move with it, that nobody else is told, and that a restart
// says nothing that was not said.
func TestSameContentOfAnotherRevision(t *testing.T) {
	before, after := state(metav1.ConditionTrue, "stored 1", 10, "a", 10), state(metav1.ConditionTrue, "stored 2", 10, "a", 20)
	after.Status.Artifact.Revision = "main@sha1:2"
	recorder, bus := record.NewFakeRecorder(10), &calls{}
	r := &report.Reporter{Kind: sourcev1.GitRepositoryKind, Events: recorder, Bus: bus}
	change := report.Change{Reason: "NewArtifact"}
	r.Emit(before, after, change)
	if len(recorder.Events) > 0 || len(bus.events) != 1 {
		t.Fatalf("%d events in the cluster, want none; %d on the bus, want 1", len(recorder.Events), len(bus.events))
	}
	metadata := bus.events[0].Metadata
	if metadata["source.toolkit.fluxcd.io/commit_status"] != "update" || metadata["source.toolkit.fluxcd.io/revision"] != "main@sha1:2" {
		t.Errorf("metadata: %v", metadata)
	}
	r.Emit(after, after, change)
	r.Reannounce(after, change)
	if len(bus.ids) != 2 || bus.ids[0] != bus.ids[1] {
		t.Errorf("announced again, it is another event: %v", bus.ids)
	}
}

func TestIDsDiffer(t *testing.T) {
	bus := &calls{}
	r := &report.Reporter{Kind: sourcev1.GitRepositoryKind, Bus: bus}
	for _, obj := range []*sourcev1.GitRepository{
		state(metav1.ConditionTrue, "stored", 10, "a", 10), state(metav1.ConditionTrue, "stored", 10, "b", 10),
		state(metav1.ConditionFalse, "down", 20, "a", 10), state(metav1.ConditionFalse, "gone", 20, "a", 10),
		state(metav1.ConditionTrue, "stored", 30, "a", 10),
	} {
		r.Reannounce(obj, report.Change{Reason: "NewArtifact"})
	}
	seen := map[string]bool{}
	for _, id := range bus.ids {
		seen[id] = true
	}
	if len(seen) != 5 {
		t.Errorf("5 different states have %d ids", len(seen))
	}
	if got := bus.events[0].Timestamp; !got.Time.Equal(time.Unix(10, 0)) {
		t.Errorf("the event is of %s", got)
	}
}
