package bench

import (
	"context"
	"time"
)

// idle watches the controllers while nothing changes: everybody has an interval pass in a minute, and finds nothing.
func (r *runner) idle(ctx context.Context) error {
	r.say("nothing happens for %s", r.Idle)
	r.report.Idle = r.Idle
	return r.measure(ctx, phaseIdle, 1, func() error {
		timer := time.NewTimer(r.Idle)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}
