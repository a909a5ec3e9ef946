// Package retry says when a failed object is tried again: exponentially later, but not later than it would be looked at
// if all were well.
package retry

import (
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// Limiter counts the failures of objects. It is safe for concurrent use, and remembers only objects that fail now.
//
// It implements client-go's TypedRateLimiter, for what a controller returns as an error. What an object's conditions say is
// no error of the controller's: a limiter of its own says with [Limiter.Next] when that is tried again, since the controller
// has its own forget an object that asks for a time.
type Limiter struct {
	// Min is the first delay, Max the longest.
	Min, Max time.Duration

	mu       sync.Mutex
	failures map[reconcile.Request]int
}

// Next counts a failure of an object with an interval, beyond which it does not wait. It returns how many there were in a
// row, and how long to wait.
func (l *Limiter) Next(req reconcile.Request, interval time.Duration) (failures int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures == nil {
		l.failures = map[reconcile.Request]int{}
	}
	l.failures[req]++
	limit := l.Max
	if interval > 0 {
		limit = max(min(l.Max, interval), l.Min)
	}
	return l.failures[req], plan.Backoff(l.Min, limit, l.failures[req])
}

// When counts a failure and returns how long to wait.
func (l *Limiter) When(req reconcile.Request) time.Duration {
	_, wait := l.Next(req, 0)
	return wait
}

// Forget ends a row of failures.
func (l *Limiter) Forget(req reconcile.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failures, req)
}

// NumRequeues is how often an object failed in a row.
func (l *Limiter) NumRequeues(req reconcile.Request) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failures[req]
}
