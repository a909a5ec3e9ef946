package plan

import (
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/sync-controller/internal/hindrance"
)

func TestRelent(t *testing.T) {
	t.Parallel()
	is := func(c hindrance.Cause) Obstacle { return Obstacle{Cause: c} }
	ending := func(c hindrance.Cause) Obstacle { return Obstacle{Cause: c, Ending: true} }
	type result struct {
		over        bool
		left, again time.Duration
	}
	for name, tc := range map[string]struct {
		reason    string
		obstacles []Obstacle
		lasted    time.Duration
		want      result
	}{
		"rights at first":        {"RBAC may be being rewritten", []Obstacle{is(hindrance.Forbidden)}, 0, result{left: DeletionGrace, again: TerminationPoll}},
		"rights for a while":     {"tries are further and further apart", []Obstacle{is(hindrance.Forbidden)}, 8 * time.Second, result{left: 22 * time.Second, again: 8 * time.Second}},
		"rights near the end":    {"the last try is at the end", []Obstacle{is(hindrance.Forbidden)}, 25 * time.Second, result{left: 5 * time.Second, again: 5 * time.Second}},
		"rights for good":        {"nobody has mended them", []Obstacle{is(hindrance.Forbidden)}, DeletionGrace, result{over: true}},
		"rights, namespace ends": {"nothing in it will be mended", []Obstacle{ending(hindrance.Forbidden)}, 0, result{over: true}},
		"one of two ends":        {"the other may still be mended", []Obstacle{ending(hindrance.Forbidden), is(hindrance.Unserved)}, 0, result{left: DeletionGrace, again: TerminationPoll}},
		"damaged records":        {"nobody has mended them", []Obstacle{is(hindrance.Unreadable)}, DeletionGrace, result{over: true}},
		"denied":                 {"as in Flux it is for whoever wrote the rule", []Obstacle{is(hindrance.Denied)}, time.Hour, result{again: SlowestDeletion}},
		"denied, namespace ends": {"it is tried, and does not hold the namespace", []Obstacle{ending(hindrance.Denied)}, DeletionGrace - time.Second, result{left: time.Second, again: time.Second}},
		"denied, ended":          {"nor for ever", []Obstacle{ending(hindrance.Denied)}, DeletionGrace, result{over: true}},
		"passing":                {"an API server comes back", []Obstacle{ending(hindrance.Passing)}, time.Hour, result{again: SlowestDeletion}},
		"passing and rights":     {"what may yet be done is done first", []Obstacle{is(hindrance.Passing), is(hindrance.Forbidden)}, time.Hour, result{again: SlowestDeletion}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got result
			if got.over, got.left, got.again = Relent(tc.obstacles, tc.lasted); got != tc.want {
				t.Errorf("%s: got %+v, want %+v", tc.reason, got, tc.want)
			}
		})
	}
}
