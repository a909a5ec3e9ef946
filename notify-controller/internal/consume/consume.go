package deliver

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/bus"
)

const (
	// restartWait is the pause after a consumer ended although it should not.
	restartWait = 15 * time.Second
	// panicAttempts is how often a message is tried that makes its handler panic.
	panicAttempts = 3
)

var errPanic = errors.New("handling a message panicked")

// giveUp keeps a message as a dead letter.
type giveUp func(ctx context.Context, d bus.Delivery, reason string) error

// guarded is handle, but for messages that make it panic: they are tried again, and in the end given up, so that none
// expires unseen. Where it panicked is logged; what it panicked with is not, for it may hold anything.
func guarded(handle bus.Handler, give giveUp, log logr.Logger) bus.Handler {
	return func(ctx context.Context, d bus.Delivery) (verdict bus.Verdict) {
		defer func() {
			if recover() == nil {
				return
			}
			log.Error(errPanic, "this is a bug, please report it", "subject", d.Subject, "attempt", d.Attempt, "stack", string(debug.Stack()))
			verdict = afterPanic(context.WithoutCancel(ctx), d, give, log)
		}()
		return handle(ctx, d)
	}
}

func afterPanic(ctx context.Context, d bus.Delivery, give giveUp, log logr.Logger) bus.Verdict {
	if d.Attempt < panicAttempts {
		return retry(d)
	}
	if err := give(ctx, d, "handling it made notify-controller panic: its log says where, please report it"); err != nil {
		log.Error(err, "message cannot be given up", "subject", d.Subject)
		return retry(d)
	}
	return bus.Drop("handling it panics")
}

// consume keeps a consumer running until ctx ends, which is no error.
func consume(ctx context.Context, b bus.Bus, c bus.Consumer, handle bus.Handler, clk clock.Clock, log logr.Logger) error {
	for ctx.Err() == nil {
		err := b.Consume(ctx, c, handle)
		if ctx.Err() != nil {
			break
		}
		log.Error(err, "consumer ended; it is started again", "consumer", c.Name, "after", restartWait.String())
		select {
		case <-ctx.Done():
		case <-clk.After(restartWait):
		}
	}
	return nil
}
