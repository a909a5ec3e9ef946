package controller

import (
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/sync-controller/internal/hindrance"
)

// TestDeletionGraceBegins: who is asked for rights has the whole grace, whatever went wrong by itself before.
func TestDeletionGraceBegins(t *testing.T) {
	begin := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	one := func(cause hindrance.Cause) []*hindrance.Error { return []*hindrance.Error{{Cause: cause}} }
	passing, forbidden := one(hindrance.Passing), one(hindrance.Forbidden)
	var d deletion
	for i, step := range []struct {
		reason string
		after  time.Duration
		undone []*hindrance.Error
		want   time.Duration
	}{
		{"a hiccup of the API server is not counted", 0, passing, 0},
		{"rights are missing from here on", 5 * time.Minute, forbidden, 0},
		{"and still are", 5*time.Minute + 10*time.Second, append(passing, forbidden...), 10 * time.Second},
		{"they are back", 6 * time.Minute, passing, 0},
		{"they are missing again", 7 * time.Minute, forbidden, 0},
	} {
		if got := d.lasts(step.undone, begin.Add(step.after)); got != step.want {
			t.Errorf("step %d, %s: %s, want %s", i, step.reason, got, step.want)
		}
	}
}
