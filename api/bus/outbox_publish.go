package bus

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	publishers     = 8
	publishTimeout = 2 * time.Second
	recentSize     = 16 << 10 // ids
	minBackOff     = 250 * time.Millisecond
	maxBackOff     = 5 * time.Second
	stuckAfter     = time.Minute
	stuckCheck     = 10 * time.Second
)

// publish takes one object's oldest event after the other until ctx ends.
func (o *Outbox) publish(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		item, ok := o.take()
		if !ok {
			waitFor(ctx, o.wake)
			continue
		}
		err := o.send(ctx, item)
		again := ctx.Err() != nil || errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
		o.settle(item, err, again)
		if !again {
			failures = 0
			continue
		}
		failures++
		waitFor(ctx, time.After(backOff(failures)))
	}
}

func (o *Outbox) take() (outboxItem, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queue.take()
}

func (o *Outbox) send(ctx context.Context, item outboxItem) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	return o.bus.Publish(ctx, o.stream, Message{
		Subject: item.env.Subject,
		ID:      item.env.ID,
		Header:  item.env.Header,
		Data:    item.env.Data,
	})
}

// settle records what became of an item that was taken.
func (o *Outbox) settle(item outboxItem, err error, again bool) {
	switch {
	case again:
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
	o.queue.release(item.object, !again)
	if o.lossy && o.queue.size == 0 {
		o.lossy = false
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

// watch says once per outage that events wait, until ctx ends.
func (o *Outbox) watch(ctx context.Context) {
	if o.options.Stuck == nil {
		return
	}
	ticker := time.NewTicker(stuckCheck)
	defer ticker.Stop()
	for told := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		oldest := o.Oldest()
		stuck := oldest >= stuckAfter
		if stuck && !told {
			o.options.Stuck(o.Pending(), oldest)
		}
		told = stuck
	}
}

// forgetPublished lets every id be published again: a broker that comes back may have lost what it had stored.
func (o *Outbox) forgetPublished() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recent.clear()
}

// backOff grows from a quarter of a second to five seconds, less up to half of it at random.
func backOff(failures int) time.Duration {
	limit := min(minBackOff<<min(failures-1, 10), maxBackOff)
	return limit - rand.N(limit/2)
}

// waitFor waits until something comes or ctx ends.
func waitFor[T any](ctx context.Context, c <-chan T) {
	select {
	case <-ctx.Done():
	case <-c:
	}
}
