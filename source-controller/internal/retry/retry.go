// Package retry says when a failed object is tried again: exponentially later, but not later than it would be looked at
// if all were well.
package retry

import (
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// Limiter implements client-go's TypedRateLimiter for one controller. It is safe for concurrent use. It remembers only
// objects that fail now.
type Limiter struct {
	// Min is the first delay, Max the longest.
	Min, Max time.Duration

	mu      sync.Mutex
	objects map[reconcile.Request]entry
}

type entry struct {
	failures int
	interval time.Duration
}

// Interval notes the interval of a failing object, beyond which it does not wait.
func (l *Limiter) Interval(req reconcile.Request, interval time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.objects[req]
	e.interval = interval
	l.put(req, e)
}

// When counts a failure and returns how long to wait.
func (l *Limiter) When(req reconcile.Request) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.objects[req]
	e.failures++
	l.put(req, e)
	limit := l.Max
	if e.interval > 0 {
		limit = max(min(l.Max, e.interval), l.Min)
	}
	return plan.Backoff(l.Min, limit, e.failures)
}

// Forget ends a row of failures.
func (l *Limiter) Forget(req reconcile.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.objects, req)
}

// NumRequeues is how often an object failed in a row.
func (l *Limiter) NumRequeues(req reconcile.Request) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.objects[req].failures
}

func (l *Limiter) put(req reconcile.Request, e entry) {
	if l.objects == nil {
		l.objects = map[reconcile.Request]entry{}
	}
	l.objects[req] = e
}
