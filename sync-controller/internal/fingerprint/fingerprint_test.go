package fingerprint

import (
	"testing"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

func TestUnchanged(t *testing.T) {
	id := inventory.ID{Namespace: "apps", Name: "web"}
	key := id.String()
	for name, tc := range map[string]struct {
		reason  string
		set     Set
		content string
		live    string
		found   bool
		asLeft  bool
		want    bool
		moved   bool
	}{
		"as left":       {"both sides are as remembered", Set{key: {"c", "l"}}, "c", "l", true, true, true, false},
		"other content": {"something else is to be applied", Set{key: {"c", "l"}}, "d", "l", true, true, false, false},
		"changed":       {"somebody changed it", Set{key: {"c", "l"}}, "c", "m", true, false, false, true},
		"gone":          {"somebody deleted it", Set{key: {"c", "l"}}, "c", "", false, false, false, true},
		"never applied": {"nothing is known of it", Set{}, "c", "l", true, false, false, false},
		"nothing known": {"an object without our fields has no fingerprint", Set{key: {"c", ""}}, "c", "", true, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			live := func(inventory.ID) (string, bool) { return tc.live, tc.found }
			if got := tc.set.AsLeft(id, live); got != tc.asLeft {
				t.Errorf("%s: as left %t", tc.reason, got)
			}
			if got := tc.set.Unchanged(map[inventory.ID]string{id: tc.content}, live)(id); got != tc.want {
				t.Errorf("%s: unchanged %t", tc.reason, got)
			}
			found, moved := tc.set.Moved(inventory.Inventory{id: "v1"}, live)[id]
			if moved != tc.moved || (moved && found != tc.found) {
				t.Errorf("%s: moved %t, found %t", tc.reason, moved, found)
			}
		})
	}
}

func TestRetain(t *testing.T) {
	stays, left := inventory.ID{Name: "stays"}, inventory.ID{Name: "left"}
	s := Set{stays.String(): {}, left.String(): {}}
	if !s.Retain(inventory.Inventory{stays: "v1"}) || len(s) != 1 {
		t.Errorf("what is no longer applied is remembered: %v", s)
	}
	if s.Retain(inventory.Inventory{stays: "v1"}) {
		t.Error("nothing left")
	}
}
