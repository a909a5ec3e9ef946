package git

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	dirMode = 0o700
	newMark = ".new-"
	// keyDigits tell apart the addresses that one object had.
	keyDigits = 12
)

// Cache is the folder of bare clones, one per object and address. It is safe for concurrent use on different objects.
type Cache struct {
	dir string
}

// OpenCache opens the cache in a folder, and clears what an earlier process left half-fetched.
func OpenCache(dir string) (*Cache, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("create git cache: %w", err)
	}
	c := &Cache{dir: dir}
	return c, c.removeIf(func(name string) bool { return strings.Contains(name, newMark) })
}

// Clone is the clone of an object's repository, which may have to be fetched first. Clones that the object had of other
// addresses are removed: nothing in them may pass for this address's.
func (c *Cache) Clone(uid, address string) (*Clone, error) {
	sum := sha256.Sum256([]byte(address))
	name := uid + "-" + hex.EncodeToString(sum[:])[:keyDigits]
	err := c.removeIf(func(other string) bool { return strings.HasPrefix(other, uid+"-") && other != name })
	return &Clone{dir: filepath.Join(c.dir, name)}, err
}

// Remove removes every clone of an object.
func (c *Cache) Remove(uid string) error {
	return c.removeIf(func(name string) bool { return strings.HasPrefix(name, uid+"-") })
}

// Keep removes the clones of objects for which live is false.
func (c *Cache) Keep(live func(uid string) bool) error {
	return c.removeIf(func(name string) bool {
		i := strings.LastIndexByte(name, '-')
		return i < 0 || !live(name[:i])
	})
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
