package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Memory returns a bus that keeps everything in this process, for tests and for a process that runs alone. It is always
// connected until it is closed. Its streams are bounded by what they say, its stores by what is put into them.
func Memory() Bus {
	return &memory{
		streams: map[string]*memoryStream{},
		stores:  map[string]*memoryStore{},
		closed:  make(chan struct{}),
	}
}

// memory keeps streams and stores under one lock; handlers run outside it.
type memory struct {
	mu      sync.Mutex
	streams map[string]*memoryStream
	stores  map[string]*memoryStore
	closed  chan struct{}
}

type memoryStream struct {
	config    Stream
	messages  []*memoryMessage
	bytes     int64
	sequence  uint64
	ids       map[string]time.Time
	consumers map[string]*memoryConsumer
	changed   chan struct{} // closed and replaced when something may be delivered
}

type memoryMessage struct {
	Message
	sequence uint64
	stored   time.Time
}

// copy returns the message as a consumer may keep or change it.
func (m *memoryMessage) copy() Message {
	c := m.Message
	c.Data = slices.Clone(m.Data)
	c.Header = cloneHeader(m.Header)
	return c
}

func (m *memory) Publish(ctx context.Context, stream Stream, msg Message) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("publish to %s: %w: %w", stream.Name, ErrUnavailable, err)
	}
	if err := checkMessage(stream, msg); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isClosed() {
		return fmt.Errorf("publish to %s: the bus is closed: %w", stream.Name, ErrUnavailable)
	}
	return m.stream(stream).store(msg, time.Now())
}

func (m *memory) isClosed() bool {
	select {
	case <-m.closed:
		return true
	default:
		return false
	}
}

func (m *memory) stream(config Stream) *memoryStream {
	s, ok := m.streams[config.Name]
	if !ok {
		s = &memoryStream{ids: map[string]time.Time{}, consumers: map[string]*memoryConsumer{}, changed: make(chan struct{})}
		m.streams[config.Name] = s
	}
	s.config = config
	return s
}

func (s *memoryStream) store(msg Message, now time.Time) error {
	s.expire(now)
	if _, known := s.ids[msg.ID]; known && msg.ID != "" {
		return nil
	}
	size := messageSize(msg)
	if s.config.MaxBytes > 0 && s.bytes+size > s.config.MaxBytes {
		return fmt.Errorf("publish to %s: the stream is full: %w", s.config.Name, ErrUnavailable)
	}
	msg.Data = slices.Clone(msg.Data)
	msg.Header = cloneHeader(msg.Header)
	s.sequence++
	s.bytes += size
	s.messages = append(s.messages, &memoryMessage{Message: msg, sequence: s.sequence, stored: now})
	if msg.ID != "" {
		s.ids[msg.ID] = now
	}
	s.notify()
	return nil
}

// expire forgets messages and ids that are too old. Both are in order of time, or few.
func (s *memoryStream) expire(now time.Time) {
	for len(s.messages) > 0 && s.config.MaxAge > 0 && now.Sub(s.messages[0].stored) > s.config.MaxAge {
		s.remove(0)
	}
	for id, at := range s.ids {
		if now.Sub(at) > s.config.window() {
			delete(s.ids, id)
		}
	}
}

func (s *memoryStream) remove(i int) {
	s.bytes -= messageSize(s.messages[i].Message)
	s.messages = slices.Delete(s.messages, i, i+1)
}

func (s *memoryStream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (m *memory) Connected() bool { return !m.isClosedLocked() }

func (m *memory) isClosedLocked() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isClosed()
}

// Reconnects never has a value: there is nothing to lose the connection to.
func (m *memory) Reconnects() <-chan struct{} { return nil }

func (m *memory) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.isClosed() {
		close(m.closed)
	}
}

func messageSize(m Message) int64 {
	size := len(m.Subject) + len(m.Data)
	for key, value := range m.Header {
		size += len(key) + len(value)
	}
	return int64(size)
}
