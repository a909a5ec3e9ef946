package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-gitops/sluice/api/bus"
)

// store is a key-value bucket. It is opened again when it turns out to be gone.
type store struct {
	bus  *jetStream
	name string
	ttl  time.Duration

	mu     sync.Mutex
	bucket jetstream.KeyValue
}

func (j *jetStream) Store(ctx context.Context, name string, ttl time.Duration) (bus.Store, error) {
	if err := bus.CheckStore(name); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &store{bus: j, name: name, ttl: ttl}
	if _, err := s.open(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// open returns the bucket; it creates it, or changes how long it keeps entries, if needed.
func (s *store) open(ctx context.Context) (jetstream.KeyValue, error) {
	if !s.bus.conn.IsConnected() {
		return nil, fmt.Errorf("store %s: not connected: %w", s.name, bus.ErrUnavailable)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bucket != nil {
		return s.bucket, nil
	}
	config := jetstream.KeyValueConfig{
		Bucket: s.name, TTL: s.ttl, History: 1, Storage: jetstream.FileStorage, MaxValueSize: bus.MaxValue + bus.MaxHeaders,
	}
	bucket, err := s.bus.js.KeyValue(ctx, s.name)
	if err != nil {
		bucket, err = s.bus.js.CreateKeyValue(ctx, config)
		if err != nil {
			return nil, fmt.Errorf("open store %s: %w: %w", s.name, bus.ErrUnavailable, err)
		}
	}
	if status, err := bucket.Status(ctx); err == nil && status.TTL() != s.ttl {
		if changed, err := s.bus.js.UpdateKeyValue(ctx, config); err == nil {
			bucket = changed
		} else {
			s.bus.log.Info("NATS store cannot be updated, using it as it is", "store", s.name, "error", err.Error())
		}
	}
	s.bucket = bucket
	return bucket, nil
}

// failed turns the error of a request into ours, and has the bucket opened again next time.
func (s *store) failed(operation, key string, err error) error {
	s.mu.Lock()
	s.bucket = nil
	s.mu.Unlock()
	return fmt.Errorf("%s %s in store %s: %w: %w", operation, key, s.name, bus.ErrUnavailable, err)
}

func (s *store) Get(ctx context.Context, key string) (bus.Entry, error) {
	if err := bus.CheckKey(key); err != nil {
		return bus.Entry{}, fmt.Errorf("get: %w", err)
	}
	bucket, err := s.open(ctx)
	if err != nil {
		return bus.Entry{}, err
	}
	entry, err := bucket.Get(ctx, key)
	switch {
	case err == nil:
		return bus.Entry{Value: entry.Value(), Revision: entry.Revision()}, nil
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return bus.Entry{}, fmt.Errorf("get %s: %w", key, bus.ErrNotFound)
	}
	return bus.Entry{}, s.failed("get", key, err)
}

func (s *store) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := bus.CheckEntry(key, value); err != nil {
		return 0, err
	}
	bucket, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	var written uint64
	if revision == 0 {
		written, err = bucket.Create(ctx, key, value)
	} else {
		written, err = bucket.Update(ctx, key, value, revision)
	}
	switch {
	case err == nil:
		return written, nil
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return 0, fmt.Errorf("put %s: %w", key, bus.ErrExists)
	}
	return 0, s.failed("put", key, err)
}

func (s *store) Delete(ctx context.Context, key string) error {
	if err := bus.CheckKey(key); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	bucket, err := s.open(ctx)
	if err != nil {
		return err
	}
	if err := bucket.Purge(ctx, key); err != nil {
		return s.failed("delete", key, err)
	}
	return nil
}
