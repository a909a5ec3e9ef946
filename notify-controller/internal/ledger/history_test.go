package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/api/bus/memory"
	"github.com/sluice-gitops/sluice/api/event"
)

func TestHistory(t *testing.T) {
	b := memory.New()
	t.Cleanup(b.Close)
	h, at := NewHistory(b), time.Unix(1000, 0)
	about := func(severity string) event.Event {
		ev := event.Event{Severity: severity}
		ev.InvolvedObject.Kind, ev.InvolvedObject.Name = "Kustomization", "app"
		return ev
	}
	note := func(id, severity string, second int) {
		t.Helper()
		if err := h.Note(t.Context(), id, about(severity), at.Add(time.Duration(second)*time.Second), severity == "error"); err != nil {
			t.Fatal(err)
		}
	}
	look := func(id string, second int, wantSeen, wantFailing bool) {
		t.Helper()
		seen, failing, err := h.Look(t.Context(), id, about("info"), at.Add(time.Duration(second)*time.Second))
		if err != nil || seen != wantSeen || failing != wantFailing {
			t.Errorf("%s after %d s: seen %v, failing %v, error %v; want %v, %v", id, second, seen, failing, err, wantSeen, wantFailing)
		}
	}
	look("a", 0, false, false)
	note("failure", "error", 2)
	look("failure", 9, true, true)
	look("older", 1, false, false) // stored before the failure, routed after it
	look("newer", 3, false, true)
	note("recovery", "info", 4)
	look("newer", 5, false, false)
	note("late", "error", 3) // routed out of order: the recovery is still the last
	look("newer", 5, false, false)
	for i := range 2 * remembered {
		note(fmt.Sprint(i), "info", 10+i)
	}
	look("failure", 99, false, false)
	look(fmt.Sprint(2*remembered-1), 99, true, false)
}
