package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// memoryStore is a map whose entries expire.
type memoryStore struct {
	mu       sync.Mutex
	ttl      time.Duration
	revision uint64
	entries  map[string]memoryEntry
}

type memoryEntry struct {
	Entry
	written time.Time
}

func (m *memory) Store(_ context.Context, name string, ttl time.Duration) (Store, error) {
	if err := checkStore(name); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.stores[name]
	if !ok {
		s = &memoryStore{entries: map[string]memoryEntry{}}
		m.stores[name] = s
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ttl = ttl
	return s, nil
}

func (s *memoryStore) Get(_ context.Context, key string) (Entry, error) {
	if err := checkKey(key); err != nil {
		return Entry{}, fmt.Errorf("get: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	entry, ok := s.live(key)
	if !ok {
		return Entry{}, fmt.Errorf("get %s: %w", key, ErrNotFound)
	}
	return Entry{Value: slices.Clone(entry.Value), Revision: entry.Revision}, nil
}

func (s *memoryStore) Put(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := checkEntry(key, value); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	entry, _ := s.live(key) // absent: revision 0
	if entry.Revision != revision {
		return 0, fmt.Errorf("put %s: %w", key, ErrExists)
	}
	s.revision++
	s.entries[key] = memoryEntry{Entry{Value: slices.Clone(value), Revision: s.revision}, time.Now()}
	return s.revision, nil
}

func (s *memoryStore) Delete(_ context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, key)
	return nil
}

func (s *memoryStore) live(key string) (memoryEntry, bool) {
	entry, ok := s.entries[key]
	if ok && s.ttl > 0 && time.Since(entry.written) > s.ttl {
		delete(s.entries, key)
		return memoryEntry{}, false
	}
	return entry, ok
}

func checkEntry(key string, value []byte) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	if len(value) > maxValue {
		return fmt.Errorf("put %s: %d bytes are more than %d", key, len(value), maxValue)
	}
	return nil
}
