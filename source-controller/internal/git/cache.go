package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	dirMode = 0o700
	newMark = ".new-"
	// keyDigits tell clones apart, and moduleDigits the submodules' of one of them.
	keyDigits, moduleDigits = 32, 16
)

// Upstream is what objects have in common that share a clone: where a repository is, and the names of what says how to reach
// it. Objects of two namespaces share nothing.
type Upstream struct {
	Namespace, URL, Secret, Proxy, Provider, ServiceAccount string
}

// Key is the name of the folder of an upstream's clone. It is made of names alone: a user name in the address, which may be a
// token, has no part in it.
func (u Upstream) Key() string {
	if address, err := url.Parse(u.URL); err == nil {
		address.User = nil
		u.URL = strings.TrimRight(address.String(), "/")
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{u.Namespace, u.URL, u.Secret, u.Proxy, u.Provider, u.ServiceAccount}, "\x00")))
	return hex.EncodeToString(sum[:])[:keyDigits]
}

// Cache is the folder of bare clones, one per upstream, with those of its submodules beside it. It is safe for concurrent use.
type Cache struct {
	dir string

	mu sync.Mutex
	// turns are those of the clones that somebody uses or waits for.
	turns map[string]*turn
	// users are the keys of the clones that objects use, by UID.
	users map[string]string
}

// turn lets one at a time at a clone.
type turn struct {
	busy  chan struct{}
	count int
}

// OpenCache opens the cache in a folder, and clears what an earlier process left half-fetched.
func OpenCache(dir string) (*Cache, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("create git cache: %w", err)
	}
	c := &Cache{dir: dir, turns: map[string]*turn{}, users: map[string]string{}}
	return c, c.removeIf(func(name string) bool { return strings.Contains(name, newMark) })
}

// Clone is the clone of an upstream, which may have to be fetched first, for an object. It waits until nobody else uses it, no
// longer than the context lasts; [Clone.Close] lets the next one at it. A clone that the object used before, and nobody else
// does, is removed.
func (c *Cache) Clone(ctx context.Context, u Upstream, uid string) (*Clone, error) {
	key := u.Key()
	if err := c.use(uid, key); err != nil {
		return nil, stored("remove what is not used any more", err)
	}
	leave, err := c.enter(ctx, key)
	if err != nil {
		return nil, err
	}
	return &Clone{dir: filepath.Join(c.dir, key), leave: leave}, nil
}

// Shared reports whether several objects use an upstream's clone.
func (c *Cache) Shared(u Upstream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count(u.Key()) > 1
}

// Remove ends an object's use of clones.
func (c *Cache) Remove(uid string) error { return c.use(uid, "") }

// Keep removes the clones whose upstreams are not live. An object is known to whoever says what is live before it has a clone.
func (c *Cache) Keep(live func(key string) bool) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("list git cache: %w", err)
	}
	var failed error
	for _, e := range entries {
		if key := e.Name()[:min(keyDigits, len(e.Name()))]; !live(key) {
			failed = errors.Join(failed, c.drop(key))
		}
	}
	return failed
}

// use notes which clone an object uses; none if key is empty.
func (c *Cache) use(uid, key string) error {
	c.mu.Lock()
	before := c.users[uid]
	if c.users[uid] = key; key == "" {
		delete(c.users, uid)
	}
	unused := before != "" && before != key && c.count(before) == 0
	c.mu.Unlock()
	if !unused {
		return nil
	}
	return c.drop(before)
}

// count is how many objects use a clone. The lock must be held.
func (c *Cache) count(key string) (n int) {
	for _, used := range c.users {
		if used == key {
			n++
		}
	}
	return n
}

// drop removes a clone that nobody is at. Whoever comes meanwhile waits, and fetches it anew.
func (c *Cache) drop(key string) error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	leave, err := c.enter(ended, key)
	if err != nil {
		return nil // somebody uses it
	}
	defer leave()
	return c.removeIf(func(name string) bool { return strings.HasPrefix(name, key) })
}

// enter waits for a turn at a clone. One that is free is taken even if the context has ended.
func (c *Cache) enter(ctx context.Context, key string) (leave func(), err error) {
	c.mu.Lock()
	t := c.turns[key]
	if t == nil {
		t = &turn{busy: make(chan struct{}, 1)}
		c.turns[key] = t
	}
	t.count++
	c.mu.Unlock()
	select {
	case t.busy <- struct{}{}:
		return func() { <-t.busy; c.left(key, t) }, nil
	default:
	}
	select {
	case t.busy <- struct{}{}:
		return func() { <-t.busy; c.left(key, t) }, nil
	case <-ctx.Done():
		c.left(key, t)
		return nil, fmt.Errorf("%w: other objects of this namespace with the same url and credentials use the clone that they share; "+
			"raise spec.timeout if that is how long it takes", ErrTimeout)
	}
}

func (c *Cache) left(key string, t *turn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.count--; t.count == 0 {
		delete(c.turns, key)
	}
}

func (c *Cache) removeIf(gone func(name string) bool) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("list git cache: %w", err)
	}
	var failed []error
	for _, e := range entries {
		if gone(e.Name()) {
			failed = append(failed, os.RemoveAll(filepath.Join(c.dir, e.Name())))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("clear git cache: %w", err)
	}
	return nil
}
