// Package memory is the bus that keeps everything in this process: for tests, and for a notify-controller that runs without
// NATS. It passes the same contract as the bus over NATS; what it holds is gone with the process.
package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
)

// New returns a bus that keeps everything in this process, for tests and for a process that runs alone. It is always
// connected until it is closed. Its streams are bounded by what they say, its stores by what is put into them.
func New() bus.Bus {
	return &broker{
		streams: map[string]*stream{},
		stores:  map[string]*store{},
		closed:  make(chan struct{}),
	}
}

// broker keeps streams and stores under one lock; handlers run outside it.
type broker struct {
	mu      sync.Mutex
	streams map[string]*stream
	stores  map[string]*store
	closed  chan struct{}
}

type stream struct {
	config    bus.Stream
	messages  []*message
	bytes     int64
	sequence  uint64
	ids       map[string]time.Time
	consumers map[string]*position
	changed   chan struct{} // closed and replaced when something may be delivered
}

type message struct {
	bus.Message
	sequence uint64
	stored   time.Time
}

// copy returns the message as a consumer may keep or change it.
func (m *message) copy() bus.Message {
	c := m.Message
	c.Data = slices.Clone(m.Data)
	c.Header = cloneHeader(m.Header)
	return c
}

func (b *broker) Publish(ctx context.Context, stream bus.Stream, msg bus.Message) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("publish to %s: %w: %w", stream.Name, bus.ErrUnavailable, err)
	}
	if err := bus.CheckMessage(stream, msg); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isClosed() {
		return fmt.Errorf("publish to %s: the bus is closed: %w", stream.Name, bus.ErrUnavailable)
	}
	return b.stream(stream).store(msg, time.Now())
}

func (b *broker) isClosed() bool {
	select {
	case <-b.closed:
		return true
	default:
		return false
	}
}

func (b *broker) stream(config bus.Stream) *stream {
	s, ok := b.streams[config.Name]
	if !ok {
		s = &stream{ids: map[string]time.Time{}, consumers: map[string]*position{}, changed: make(chan struct{})}
		b.streams[config.Name] = s
	}
	s.config = config
	return s
}

func (s *stream) store(msg bus.Message, now time.Time) error {
	s.expire(now)
	if _, known := s.ids[msg.ID]; known && msg.ID != "" {
		return nil
	}
	size := messageSize(msg)
	if s.config.MaxBytes > 0 && s.bytes+size > s.config.MaxBytes {
		return fmt.Errorf("publish to %s: the stream is full: %w", s.config.Name, bus.ErrUnavailable)
	}
	msg.Data = slices.Clone(msg.Data)
	msg.Header = cloneHeader(msg.Header)
	s.sequence++
	s.bytes += size
	s.messages = append(s.messages, &message{Message: msg, sequence: s.sequence, stored: now})
	if msg.ID != "" {
		s.ids[msg.ID] = now
	}
	s.notify()
	return nil
}

// expire forgets messages and ids that are too old. Both are in order of time, or few.
func (s *stream) expire(now time.Time) {
	for len(s.messages) > 0 && s.config.MaxAge > 0 && now.Sub(s.messages[0].stored) > s.config.MaxAge {
		s.remove(0)
	}
	for id, at := range s.ids {
		if now.Sub(at) > s.config.DeduplicationWindow() {
			delete(s.ids, id)
		}
	}
}

func (s *stream) remove(i int) {
	s.bytes -= messageSize(s.messages[i].Message)
	s.messages = slices.Delete(s.messages, i, i+1)
}

func (s *stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (b *broker) Connected() bool { return !b.isClosedLocked() }

func (b *broker) isClosedLocked() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.isClosed()
}

// Reconnects never has a value: there is nothing to lose the connection to.
func (b *broker) Reconnects() <-chan struct{} { return nil }

func (b *broker) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.isClosed() {
		close(b.closed)
	}
}

func messageSize(m bus.Message) int64 {
	size := len(m.Subject) + len(m.Data)
	for key, value := range m.Header {
		size += len(key) + len(value)
	}
	return int64(size)
}

// cloneHeader is nil for no header, as after the way over a network.
func cloneHeader(h map[string]string) map[string]string {
	if len(h) == 0 {
		return nil
	}
	return maps.Clone(h)
}
