package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
)

// store is a map whose entries expire.
type store struct {
	mu       sync.Mutex
	ttl      time.Duration
	revision uint64
	entries  map[string]expiring
}

type expiring struct {
	bus.Entry
	written time.Time
}

func (b *broker) Store(_ context.Context, name string, ttl time.Duration) (bus.Store, error) {
	if err := bus.CheckStore(name); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.stores[name]
	if !ok {
		s = &store{entries: map[string]expiring{}}
		b.stores[name] = s
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ttl = ttl
	return s, nil
}

func (s *store) Get(_ context.Context, key string) (bus.Entry, error) {
	if err := bus.CheckKey(key); err != nil {
		return bus.Entry{}, fmt.Errorf("get: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	entry, ok := s.live(key)
	if !ok {
		return bus.Entry{}, fmt.Errorf("get %s: %w", key, bus.ErrNotFound)
	}
	return bus.Entry{Value: slices.Clone(entry.Value), Revision: entry.Revision}, nil
}

func (s *store) Put(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := bus.CheckEntry(key, value); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	entry, _ := s.live(key) // absent: revision 0
	if entry.Revision != revision {
		return 0, fmt.Errorf("put %s: %w", key, bus.ErrExists)
	}
	s.revision++
	s.entries[key] = expiring{bus.Entry{Value: slices.Clone(value), Revision: s.revision}, time.Now()}
	return s.revision, nil
}

func (s *store) Delete(_ context.Context, key string) error {
	if err := bus.CheckKey(key); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, key)
	return nil
}

func (s *store) live(key string) (expiring, bool) {
	entry, ok := s.entries[key]
	if ok && s.ttl > 0 && time.Since(entry.written) > s.ttl {
		delete(s.entries, key)
		return expiring{}, false
	}
	return entry, ok
}
