package bench

import "context"

// idle watches the controllers while nothing changes: everybody has an interval pass in a minute, and finds nothing.
func (r *runner) idle(ctx context.Context) error {
	r.say("nothing happens for %s", r.Idle)
	r.report.Idle = r.Idle
	return r.measure(ctx, phaseIdle, 1, func() error { return r.pause(ctx, r.Idle) })
}
