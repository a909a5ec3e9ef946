package bucket

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
)

// maxKept is how much is kept at most; beyond it everything is asked for again.
const maxKept = 1024

// Kept holds what attempts leave to later ones, in memory alone: sources of tokens, which know when theirs end, and regions
// of buckets. It is safe for concurrent use; its zero value is empty.
type Kept struct {
	mu   sync.Mutex
	held map[string]any
}

// KeyOf is what something is kept under: a digest of all it depends on, credentials included, so that a Secret that
// changes is another key.
func KeyOf(parts ...string) string {
	sum := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(sum, "%d %s", len(p), p) // a hash takes everything
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Find returns what is kept under a key.
func Find[T any](k *Kept, key string) (T, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	held, ok := k.held[key].(T)
	return held, ok
}

// Keep returns what is kept under a key, and makes it if nothing is. Two that make it at once get one each.
func Keep[T any](k *Kept, key string, make func() (T, error)) (T, error) {
	if held, ok := Find[T](k, key); ok {
		return held, nil
	}
	made, err := make()
	if err == nil {
		k.Put(key, made)
	}
	return made, err
}

// Put keeps something.
func (k *Kept) Put(key string, value any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held == nil || len(k.held) >= maxKept {
		k.held = map[string]any{}
	}
	k.held[key] = value
}

// Drop forgets what is kept under a key: it was refused.
func (k *Kept) Drop(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, key)
}
