package wait

import (
	"context"
	"testing"
	"time"
)

func TestBackOff(t *testing.T) {
	tests := map[string]struct {
		reason   string
		failures int
		longest  time.Duration
	}{
		"the first":        {reason: "most failures pass at once", failures: 1, longest: 250 * time.Millisecond},
		"the third":        {reason: "it doubles each time", failures: 3, longest: time.Second},
		"the sixth":        {reason: "it stops growing", failures: 6, longest: MaxBackOff},
		"after a long day": {reason: "it neither overflows nor grows", failures: 100_000, longest: MaxBackOff},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			seen := map[time.Duration]bool{}
			for range 100 {
				got := BackOff(tc.failures)
				if got > tc.longest || got <= tc.longest/2 {
					t.Fatalf("%s: %v is not within (%v, %v]", tc.reason, got, tc.longest/2, tc.longest)
				}
				seen[got] = true
			}
			if len(seen) < 2 {
				t.Error("every client would come back at the same time")
			}
		})
	}
}

func TestFor(t *testing.T) {
	never := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	signals := make(chan struct{}, 1)
	signals <- struct{}{}
	For(ctx, signals)
	cancel()
	For(ctx, never) // the deadline of the test is what fails here
	if len(signals) != 0 {
		t.Error("the signal was not taken")
	}
}
