package bench

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSpreadOf(t *testing.T) {
	tests := map[string]struct {
		reason string
		runs   []time.Duration
		want   spread
	}{
		"None": {reason: "nothing was measured"},
		"One":  {"all three are the one", []time.Duration{5}, spread{Median: 5, Least: 5, Most: 5, Runs: 1}},
		"Odd":  {"one slow run does not move the median", []time.Duration{900, 5, 7}, spread{Median: 7, Least: 5, Most: 900, Runs: 3}},
		"Even": {"the mean of the middle two", []time.Duration{4, 8, 6, 2}, spread{Median: 5, Least: 2, Most: 8, Runs: 4}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			before := append([]time.Duration(nil), tc.runs...)
			if diff := cmp.Diff(tc.want, spreadOf(tc.runs)); diff != "" {
				t.Errorf("%s:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(before, tc.runs); diff != "" {
				t.Errorf("the runs are not in their order any more:\n%s", diff)
			}
		})
	}
}
