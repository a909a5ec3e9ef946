package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
)

// position is where a durable consumer is: up to where it was delivered to, and what of that is not settled yet.
type position struct {
	delivered uint64
	unsettled map[uint64]*unsettled
}

// unsettled is a delivery whose handler has not said Done or Drop.
type unsettled struct {
	attempt  int
	due      time.Time
	inFlight bool // with a handler now
}

func (b *broker) Consume(ctx context.Context, c bus.Consumer, handle bus.Handler) error {
	if err := bus.CheckConsumer(c); err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	errs := make([]error, max(c.Parallel, 1))
	var running sync.WaitGroup
	for i := range errs {
		running.Go(func() { errs[i] = b.work(ctx, c, handle) })
	}
	running.Wait()
	return errs[0]
}

// work handles one delivery after the other until ctx ends or the bus is closed.
func (b *broker) work(ctx context.Context, c bus.Consumer, handle bus.Handler) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		delivery, sequence, idle := b.next(c)
		if idle == nil {
			b.settle(c, sequence, handle.Call(ctx, delivery))
			continue
		}
		if err := idle.until(ctx, b.closed); err != nil {
			return err
		}
	}
}

// idle is what to wait for when there is nothing to deliver.
type idle struct {
	changed <-chan struct{}
	due     time.Duration // 0: nothing is due
}

func (i *idle) until(ctx context.Context, closed <-chan struct{}) error {
	var due <-chan time.Time
	if i.due > 0 {
		timer := time.NewTimer(i.due)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-closed:
		return errors.New("consume: the bus is closed")
	case <-i.changed:
	case <-due:
	}
	return nil
}

func (b *broker) next(c bus.Consumer) (bus.Delivery, uint64, *idle) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	s := b.stream(c.Stream)
	s.expire(now)
	at, ok := s.consumers[c.Name]
	if !ok {
		at = &position{unsettled: map[uint64]*unsettled{}}
		s.consumers[c.Name] = at
	}
	var due time.Duration
	for _, message := range s.messages {
		if c.Filter != "" && !bus.Matches(c.Filter, message.Subject) {
			continue
		}
		wait, deliver := at.offer(message.sequence, now)
		if deliver {
			return bus.Delivery{
				Message: message.copy(),
				Attempt: at.unsettled[message.sequence].attempt,
				Stored:  message.stored,
			}, message.sequence, nil
		}
		if wait > 0 && (due == 0 || wait < due) {
			due = wait
		}
	}
	return bus.Delivery{}, 0, &idle{changed: s.changed, due: due}
}

// offer says whether a message is to be delivered now, and marks it then, or how long from now it is due.
func (p *position) offer(sequence uint64, now time.Time) (wait time.Duration, deliver bool) {
	d, ok := p.unsettled[sequence]
	switch {
	case !ok && sequence <= p.delivered:
		return 0, false
	case !ok:
		p.delivered = sequence
		p.unsettled[sequence] = &unsettled{attempt: 1, inFlight: true}
		return 0, true
	case d.inFlight:
		return 0, false
	case d.due.After(now):
		return d.due.Sub(now), false
	}
	d.attempt++
	d.inFlight = true
	return 0, true
}

func (b *broker) settle(c bus.Consumer, sequence uint64, v bus.Verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stream(c.Stream)
	defer s.notify()
	at, ok := s.consumers[c.Name]
	if !ok || at.unsettled[sequence] == nil {
		return // forgotten while it was handled
	}
	if v.Drop == "" && v.RetryAfter > 0 {
		d := at.unsettled[sequence]
		d.inFlight = false
		d.due = time.Now().Add(v.RetryAfter)
		return
	}
	delete(at.unsettled, sequence)
	if !c.Stream.WorkQueue {
		return
	}
	for i, message := range s.messages {
		if message.sequence == sequence {
			s.remove(i)
			return
		}
	}
}

func (b *broker) Forget(_ context.Context, c bus.Consumer) error {
	if err := bus.CheckConsumer(c); err != nil {
		return fmt.Errorf("forget consumer: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.stream(c.Stream).consumers, c.Name)
	return nil
}
