package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// memoryConsumer is a durable position: what was delivered first, and what has to come again.
type memoryConsumer struct {
	seen  uint64
	again map[uint64]*memoryAgain
}

// memoryAgain is a delivery that was not acknowledged yet.
type memoryAgain struct {
	attempt int
	due     time.Time
	busy    bool
}

func (m *memory) Consume(ctx context.Context, c Consumer, handle Handler) error {
	if err := checkConsumer(c); err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	errs := make([]error, max(c.Parallel, 1))
	var running sync.WaitGroup
	for i := range errs {
		running.Go(func() { errs[i] = m.work(ctx, c, handle) })
	}
	running.Wait()
	return errs[0]
}

// work handles one delivery after the other until ctx ends or the bus is closed.
func (m *memory) work(ctx context.Context, c Consumer, handle Handler) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		delivery, sequence, wait := m.next(c)
		if wait == nil {
			m.settle(c, sequence, call(ctx, handle, delivery))
			continue
		}
		if err := wait.until(ctx, m.closed); err != nil {
			return err
		}
	}
}

// memoryWait is what to wait for when there is nothing to deliver.
type memoryWait struct {
	changed <-chan struct{}
	due     time.Duration // 0: nothing is due
}

func (w *memoryWait) until(ctx context.Context, closed <-chan struct{}) error {
	var due <-chan time.Time
	if w.due > 0 {
		timer := time.NewTimer(w.due)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-closed:
		return errors.New("consume: the bus is closed")
	case <-w.changed:
	case <-due:
	}
	return nil
}

func (m *memory) next(c Consumer) (Delivery, uint64, *memoryWait) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	s := m.stream(c.Stream)
	s.expire(now)
	consumer, ok := s.consumers[c.Name]
	if !ok {
		consumer = &memoryConsumer{again: map[uint64]*memoryAgain{}}
		s.consumers[c.Name] = consumer
	}
	var due time.Duration
	for _, message := range s.messages {
		if c.Filter != "" && !matches(c.Filter, message.Subject) {
			continue
		}
		wait, deliver := consumer.offer(message.sequence, now)
		if deliver {
			return Delivery{
				Message: message.copy(),
				Attempt: consumer.again[message.sequence].attempt,
				Stored:  message.stored,
			}, message.sequence, nil
		}
		if wait > 0 && (due == 0 || wait < due) {
			due = wait
		}
	}
	return Delivery{}, 0, &memoryWait{changed: s.changed, due: due}
}

// offer says whether a message is to be delivered now, and marks it then, or how long from now it is due.
func (c *memoryConsumer) offer(sequence uint64, now time.Time) (wait time.Duration, deliver bool) {
	again, ok := c.again[sequence]
	switch {
	case !ok && sequence <= c.seen:
		return 0, false
	case !ok:
		c.seen = sequence
		c.again[sequence] = &memoryAgain{attempt: 1, busy: true}
		return 0, true
	case again.busy:
		return 0, false
	case again.due.After(now):
		return again.due.Sub(now), false
	}
	again.attempt++
	again.busy = true
	return 0, true
}

func (m *memory) settle(c Consumer, sequence uint64, v Verdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stream(c.Stream)
	defer s.notify()
	consumer, ok := s.consumers[c.Name]
	if !ok || consumer.again[sequence] == nil {
		return // forgotten while it was handled
	}
	if v.Drop == "" && v.RetryAfter > 0 {
		again := consumer.again[sequence]
		again.busy = false
		again.due = time.Now().Add(v.RetryAfter)
		return
	}
	delete(consumer.again, sequence)
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

func (m *memory) Forget(_ context.Context, c Consumer) error {
	if err := checkConsumer(c); err != nil {
		return fmt.Errorf("forget consumer: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.stream(c.Stream).consumers, c.Name)
	return nil
}

// call runs a handler; one that panics counts as a retry. What it panicked with is not shown: it may hold anything.
func call(ctx context.Context, handle Handler, d Delivery) (verdict Verdict) {
	defer func() {
		if recover() != nil {
			verdict = Retry(afterPanic)
		}
	}()
	return handle(ctx, d)
}
