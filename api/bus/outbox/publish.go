package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/internal/wait"
)

const (
	publishers     = 8
	publishTimeout = 2 * time.Second
	recentSize     = 16 << 10 // ids
	lateAfter      = time.Minute
	lateCheck      = 10 * time.Second
)

// publish takes one object's oldest event after the other until ctx ends.
func (o *Outbox) publish(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		item, ok := o.take()
		if !ok {
			wait.For(ctx, o.wakeUp)
			continue
		}
		err := o.send(ctx, item)
		retry := ctx.Err() != nil || errors.Is(err, bus.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
		o.settle(item, err, retry)
		if !retry {
			failures = 0
			continue
		}
		failures++
		wait.For(ctx, time.After(wait.BackOff(failures)))
	}
}

func (o *Outbox) take() (queueItem, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queue.take()
}

func (o *Outbox) send(ctx context.Context, item queueItem) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	return o.bus.Publish(ctx, o.stream, bus.Message{
		Subject: item.env.Subject,
		ID:      item.env.ID,
		Header:  item.env.Header,
		Data:    item.env.Data,
	})
}

// settle records what became of an item that was taken.
func (o *Outbox) settle(item queueItem, err error, retry bool) {
	switch {
	case retry:
	case err == nil:
		o.metrics.published.Inc()
	default:
		o.metrics.dropped.WithLabelValues(droppedRejected).Inc()
		o.options.Log.Error(err, "event given up", "subject", item.env.Subject, "id", item.env.ID)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		o.recent.add(item.env.ID)
	}
	o.queue.release(item.object, !retry)
	if o.refused && o.queue.size == 0 {
		o.refused = false
		select {
		case o.drained <- struct{}{}:
		default:
		}
	}
}

// reannounce asks for the current state at start, after each reconnect and after a loss, until ctx ends.
func (o *Outbox) reannounce(ctx context.Context) {
	again := o.options.Reannounce
	if again == nil {
		again = func() {}
	}
	again()
	reconnects := o.bus.Reconnects()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-o.drained:
			again()
		case _, ok := <-reconnects:
			if !ok {
				reconnects = nil
				continue
			}
			o.forgetPublished()
			again()
		}
	}
}

// watchLate calls OnLate once per outage, until ctx ends.
func (o *Outbox) watchLate(ctx context.Context) {
	if o.options.OnLate == nil {
		return
	}
	ticker := time.NewTicker(lateCheck)
	defer ticker.Stop()
	for reported := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		oldest := o.Oldest()
		late := oldest >= lateAfter
		if late && !reported {
			o.options.OnLate(o.Pending(), oldest)
		}
		reported = late
	}
}

// forgetPublished lets every id be published again: a broker that comes back may have lost what it had stored.
func (o *Outbox) forgetPublished() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recent.clear()
}
