// Package consume runs durable consumers: for ever, past messages that make a handler panic, and one at a time where two
// messages are about the same object.
package consume

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
)

const (
	// restartWait is the pause after a consumer ended although it should not.
	restartWait = 15 * time.Second
	// panicAttempts is how often a message is tried that makes its handler panic.
	panicAttempts = 3
)

var errPanic = errors.New("handling a message panicked")

// GiveUp keeps a message as a dead letter.
type GiveUp func(ctx context.Context, d bus.Delivery, reason string) error

// Guarded is handle, but for messages that make it panic: they are tried again, and in the end given up, so that none
// expires unseen. Where it panicked is logged; what it panicked with is not, for it may hold anything.
func Guarded(handle bus.Handler, give GiveUp, log logr.Logger) bus.Handler {
	return func(ctx context.Context, d bus.Delivery) (verdict bus.Verdict) {
		defer func() {
			if recover() == nil {
				return
			}
			log.Error(errPanic, "failed to handle a message on "+d.Subject+": this is a bug, please report it",
				logkey.Attempt, d.Attempt, "stacktrace", string(debug.Stack()))
			verdict = afterPanic(context.WithoutCancel(ctx), d, give, log)
		}()
		return handle(ctx, d)
	}
}

func afterPanic(ctx context.Context, d bus.Delivery, give GiveUp, log logr.Logger) bus.Verdict {
	if d.Attempt < panicAttempts {
		return Retry(d)
	}
	if err := give(ctx, d, "handling it made notify-controller panic: its log says where, please report it"); err != nil {
		log.Error(err, "failed to keep a message on "+d.Subject+" as a dead letter")
		return Retry(d)
	}
	return bus.Drop("handling it panics")
}

// Run keeps a consumer running until ctx ends, which is no error.
func Run(ctx context.Context, b bus.Bus, c bus.Consumer, handle bus.Handler, clk clock.Clock, log logr.Logger) error {
	for ctx.Err() == nil {
		err := b.Consume(ctx, c, handle)
		if ctx.Err() != nil {
			break
		}
		log.Error(err, "consumer "+c.Name+" ended; it is started again", logkey.After, restartWait.String())
		select {
		case <-ctx.Done():
		case <-clk.After(restartWait):
		}
	}
	return nil
}

// maxRetry bounds the wait after anything that keeps a message from being handled.
const maxRetry = time.Minute

// Retry has a message come again later, the later the more often it did.
func Retry(d bus.Delivery) bus.Verdict {
	return bus.Retry(min(plan.Backoff(d.Attempt, rand.Float64()), maxRetry))
}
