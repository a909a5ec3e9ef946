package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
)

// Table is a store of JSON values, opened when first used and again after an error: the broker may have lost it.
// It is safe for concurrent use.
type Table[T any] struct {
	bus  bus.Bus
	name string
	ttl  time.Duration

	mu   sync.Mutex
	open bus.Store
}

// NewTable returns a table on a bus whose entries live for ttl; 0 for ever.
func NewTable[T any](b bus.Bus, name string, ttl time.Duration) *Table[T] {
	return &Table[T]{bus: b, name: name, ttl: ttl}
}

// Get returns the value and its revision; the zero value and 0 for an absent key. A value that cannot be read counts as
// absent, but keeps its revision, so that it is written over.
func (t *Table[T]) Get(ctx context.Context, key string) (T, uint64, error) {
	var value T
	store, err := t.store(ctx)
	if err != nil {
		return value, 0, err
	}
	entry, err := store.Get(ctx, key)
	if errors.Is(err, bus.ErrNotFound) {
		return value, 0, nil
	}
	if err != nil {
		return value, 0, t.forget(err)
	}
	if json.Unmarshal(entry.Value, &value) != nil {
		var zero T
		value = zero
	}
	return value, entry.Revision, nil
}

// Put writes the value if the key is still at revision; an error wraps bus.ErrExists if it is not.
func (t *Table[T]) Put(ctx context.Context, key string, value T, revision uint64) (uint64, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", t.name, err)
	}
	store, err := t.store(ctx)
	if err != nil {
		return 0, err
	}
	next, err := store.Put(ctx, key, data, revision)
	if err != nil && !errors.Is(err, bus.ErrExists) {
		return 0, t.forget(err)
	}
	return next, err
}

func (t *Table[T]) store(ctx context.Context) (bus.Store, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		store, err := t.bus.Store(ctx, t.name, t.ttl)
		if err != nil {
			return nil, fmt.Errorf("open store %s: %w", t.name, err)
		}
		t.open = store
	}
	return t.open, nil
}

func (t *Table[T]) forget(cause error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = nil
	return fmt.Errorf("store %s: %w", t.name, cause)
}
