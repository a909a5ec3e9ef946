package bustest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
)

func newStore(t *testing.T, b bus.Bus, ttl time.Duration) bus.Store {
	t.Helper()
	return openStore(t, b, storeName(), ttl)
}

func storeName() string { return fmt.Sprintf("test-%016x", rand.Uint64()) }

func openStore(t *testing.T, b bus.Bus, name string, ttl time.Duration) bus.Store {
	t.Helper()
	s, err := b.Store(t.Context(), name, ttl)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	return s
}

func compareAndSwap(t *testing.T, b bus.Bus) {
	ctx := t.Context()
	s := newStore(t, b, 0)
	const key = "delivered.some-Key_1"
	if _, err := s.Get(ctx, key); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("get of an absent key: got %v, want ErrNotFound", err)
	}
	if _, err := s.Put(ctx, key, []byte("x"), 7); !errors.Is(err, bus.ErrExists) {
		t.Errorf("put of an absent key at revision 7: got %v, want ErrExists", err)
	}
	first, err := s.Put(ctx, key, []byte("one"), 0)
	if err != nil || first == 0 {
		t.Fatalf("first put: revision %d, %v", first, err)
	}
	if _, err := s.Put(ctx, key, []byte("x"), 0); !errors.Is(err, bus.ErrExists) {
		t.Errorf("put of a present key as absent: got %v, want ErrExists", err)
	}
	second, err := s.Put(ctx, key, []byte("two"), first)
	if err != nil || second == first {
		t.Fatalf("second put: revision %d after %d, %v", second, first, err)
	}
	if _, err := s.Put(ctx, key, []byte("x"), first); !errors.Is(err, bus.ErrExists) {
		t.Errorf("put at an old revision: got %v, want ErrExists", err)
	}
	if e, err := s.Get(ctx, key); err != nil || string(e.Value) != "two" || e.Revision != second {
		t.Errorf("get: %q at %d, %v, want two at %d", e.Value, e.Revision, err, second)
	}
	for range 2 {
		if err := s.Delete(ctx, key); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, err := s.Get(ctx, key); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("get of a deleted key: got %v, want ErrNotFound", err)
	}
	if _, err := s.Put(ctx, key, nil, 0); err != nil {
		t.Errorf("put of a deleted key: %v", err)
	}
}

func copies(t *testing.T, b bus.Bus) {
	s := newStore(t, b, 0)
	value := []byte("value")
	if _, err := s.Put(t.Context(), "k", value, 0); err != nil {
		t.Fatal(err)
	}
	value[0] = 'X'
	e, err := s.Get(t.Context(), "k")
	if err != nil || string(e.Value) != "value" {
		t.Fatalf("got %q, %v: the store shares memory with who put the value", e.Value, err)
	}
	e.Value[0] = 'X'
	if e, err := s.Get(t.Context(), "k"); err != nil || string(e.Value) != "value" {
		t.Errorf("got %q, %v: the store shares memory with who got the value", e.Value, err)
	}
}

func expires(t *testing.T, b bus.Bus) {
	s := newStore(t, b, time.Second)
	if _, err := s.Put(t.Context(), "k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "k"); err != nil {
		t.Errorf("get before the entry expires: %v", err)
	}
	eventually(t, "the entry has expired", func() bool {
		_, err := s.Get(t.Context(), "k")
		return errors.Is(err, bus.ErrNotFound)
	})
	if _, err := s.Put(t.Context(), "k", []byte("v"), 0); err != nil {
		t.Errorf("put after the entry expired: %v", err)
	}
}

func shared(t *testing.T, b bus.Bus) {
	name := storeName()
	if _, err := openStore(t, b, name, 0).Put(t.Context(), "k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	if e, err := openStore(t, b, name, 0).Get(t.Context(), "k"); err != nil || string(e.Value) != "v" {
		t.Errorf("got %q, %v", e.Value, err)
	}
	if _, err := newStore(t, b, 0).Get(t.Context(), "k"); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("another store has the key too: %v", err)
	}
}

func badKeys(t *testing.T, b bus.Bus) {
	if _, err := b.Store(t.Context(), "a.b", 0); err == nil {
		t.Error("a store name with a dot is accepted")
	}
	s := newStore(t, b, 0)
	for _, key := range []string{"", ".", ".a", "a.", "a..b", "a b", "a*", "a>", "a/b", "ä"} {
		if _, err := s.Put(t.Context(), key, nil, 0); err == nil || errors.Is(err, bus.ErrUnavailable) {
			t.Errorf("put of key %q: got %v", key, err)
		}
		if _, err := s.Get(t.Context(), key); err == nil || errors.Is(err, bus.ErrUnavailable) {
			t.Errorf("get of key %q: got %v", key, err)
		}
		if err := s.Delete(t.Context(), key); err == nil || errors.Is(err, bus.ErrUnavailable) {
			t.Errorf("delete of key %q: got %v", key, err)
		}
	}
	if _, err := s.Put(t.Context(), "k", make([]byte, 512<<10+1), 0); err == nil || errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("put of a value that is too large: got %v", err)
	}
	if _, err := s.Put(t.Context(), "k", make([]byte, 512<<10), 0); err != nil {
		t.Errorf("put of the largest value: %v", err)
	}
}
