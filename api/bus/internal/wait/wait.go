// Package wait is how the rooms of the bus wait: for a broker that failed them, and for a signal.
package wait

import (
	"context"
	"math/rand/v2"
	"time"
)

const minBackOff = 250 * time.Millisecond

// MaxBackOff is the longest BackOff.
const MaxBackOff = 5 * time.Second

// BackOff is how long to wait after so many failures in a row, from 1: a quarter of a second at first, MaxBackOff at most,
// less up to half of it at random, so that clients do not come back all at once.
func BackOff(failures int) time.Duration {
	limit := min(minBackOff<<min(failures-1, 10), MaxBackOff)
	return limit - rand.N(limit/2)
}

// For waits until something comes or ctx ends.
func For[T any](ctx context.Context, c <-chan T) {
	select {
	case <-ctx.Done():
	case <-c:
	}
}
