package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options configures a [Cache].
type Options struct {
	// Dir is where trees are kept. It belongs to the cache: what is in it at the start is removed.
	Dir string
	// Capacity is how many bytes of unpinned trees are kept; 4 GiB when zero.
	Capacity int64
	// Limits of one artifact.
	Limits Limits
	// Timeout of one download; two minutes when zero.
	Timeout time.Duration
	// Client fetches; a client without proxy, redirects and credentials when nil (see [newClient]).
	Client *http.Client
}

// Tree is an artifact on disk. It stays until it is released.
type Tree struct {
	// Path is what [OpenView] opens, or the file for [Cache.AcquireFile].
	Path string
	// Digest of the artifact.
	Digest string
	// Manifest of the tree; nil for a file.
	Manifest Manifest
	// size of the file at Path, in bytes.
	size int64
}

// Cache holds trees. It is safe for concurrent use.
type Cache struct {
	options Options
	blobs   *blobs

	mu      sync.Mutex
	entries map[string]*entry
	clock   uint64 // counts uses, for the order in which trees are dropped
	size    int64  // of the files at the trees' paths
}

type entry struct {
	ready chan struct{} // closed when tree or err is set
	tree  *Tree
	err   error
	pins  int
	used  uint64
}

const (
	defaultCapacity = 4 << 30
	defaultTimeout  = 2 * time.Minute
)

// Open returns an empty cache in a directory of its own.
func Open(options Options) (*Cache, error) {
	if options.Capacity <= 0 {
		options.Capacity = defaultCapacity
	}
	if options.Timeout <= 0 {
		options.Timeout = defaultTimeout
	}
	if options.Client == nil {
		options.Client = newClient()
	}
	options.Limits = options.Limits.withDefaults()
	if err := os.RemoveAll(options.Dir); err != nil {
		return nil, fmt.Errorf("empty the artifact cache: %w", err)
	}
	contents, err := openBlobs(filepath.Join(options.Dir, blobsDir))
	if err != nil {
		return nil, err
	}
	return &Cache{options: options, blobs: contents, entries: map[string]*entry{}}, nil
}

// Acquire returns the artifact unpacked. The caller calls release once, when it no longer reads it. The error wraps
// [ErrNotFound] or [ErrInvalid] where that is what is wrong.
func (c *Cache) Acquire(ctx context.Context, artifact Artifact) (tree *Tree, release func(), err error) {
	return c.acquire(ctx, artifact, "tree", c.unpack)
}

// AcquireFile returns the artifact as the file it is, digest compared. Otherwise it is like [Cache.Acquire].
func (c *Cache) AcquireFile(ctx context.Context, artifact Artifact) (tree *Tree, release func(), err error) {
	return c.acquire(ctx, artifact, "file", c.keepFile)
}

type fetcher func(ctx context.Context, artifact Artifact, path string) (*Tree, error)

func (c *Cache) acquire(ctx context.Context, artifact Artifact, kind string, fetch fetcher) (*Tree, func(), error) {
	key := kind + "-" + strings.ReplaceAll(artifact.Digest, ":", "-")
	if strings.ContainsAny(key, `/\.`) || len(key) > 200 {
		return nil, nil, fmt.Errorf("%w: digest %.80q is not one", ErrInvalid, artifact.Digest)
	}
	held, mine := c.pin(key)
	if mine {
		c.fill(ctx, key, held, artifact, fetch)
	}
	select {
	case <-held.ready:
	case <-ctx.Done():
		c.unpin(held)
		return nil, nil, ctx.Err()
	}
	if held.err != nil {
		c.unpin(held)
		return nil, nil, held.err
	}
	return held.tree, sync.OnceFunc(func() { c.unpin(held) }), nil
}

// pin returns the entry of a key, pinned, and whether the caller is the one to fill it.
func (c *Cache) pin(key string) (held *entry, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	held, known := c.entries[key]
	if !known {
		held = &entry{ready: make(chan struct{})}
		c.entries[key] = held
	}
	held.pins++
	held.used = c.clock
	return held, !known
}

// fill fetches an entry's tree. A failure is for those who wait now; the next caller tries again. On a full disk all that
// nobody has pinned makes room first.
func (c *Cache) fill(ctx context.Context, key string, held *entry, artifact Artifact, fetch fetcher) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	tree, err := fetch(ctx, artifact, filepath.Join(c.options.Dir, key))
	if errors.Is(err, syscall.ENOSPC) && c.MakeRoom() {
		tree, err = fetch(ctx, artifact, filepath.Join(c.options.Dir, key))
	}
	c.mu.Lock()
	held.tree, held.err = tree, err
	if err != nil {
		delete(c.entries, key)
	} else {
		c.size += tree.size
	}
	c.mu.Unlock()
	close(held.ready)
}

func (c *Cache) unpin(held *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held.pins--
	for c.size+c.blobs.bytes() > c.options.Capacity && c.dropOldest() {
	}
}

// Usage returns how many artifacts the cache holds, and how many bytes they take.
func (c *Cache) Usage() (entries int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries), c.size + c.blobs.bytes()
}

// MakeRoom drops all that nobody has pinned, for a disk that is full, and says whether there was anything.
func (c *Cache) MakeRoom() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	dropped := false
	for c.dropOldest() {
		dropped = true
	}
	return dropped
}

// dropOldest drops one tree; false when all are pinned. It is called with the lock held.
func (c *Cache) dropOldest() bool {
	key, oldest := c.oldest()
	if oldest == nil {
		return false
	}
	// It is gone before its files are: nobody may be given a part of it. A file that cannot be removed stays until the start.
	delete(c.entries, key)
	c.size -= oldest.tree.size
	_ = errors.Join(os.Remove(oldest.tree.Path), c.blobs.release(oldest.tree.Manifest))
	return true
}

// oldest is the least recently used tree that nobody has pinned.
func (c *Cache) oldest() (key string, oldest *entry) {
	for k, e := range c.entries {
		if e.pins == 0 && e.tree != nil && (oldest == nil || e.used < oldest.used) {
			key, oldest = k, e
		}
	}
	return key, oldest
}

func (c *Cache) unpack(ctx context.Context, artifact Artifact, path string) (*Tree, error) {
	file, err := c.fetch(ctx, artifact)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close(); _ = os.Remove(file.Name()) }()
	manifest, err := extract(file, c.blobs, c.options.Limits)
	var ours *fs.PathError // of a file on this disk: the archive is not to blame
	if errors.As(err, &ours) {
		return nil, fmt.Errorf("unpack artifact: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	size, err := writeManifest(path, manifest)
	if err != nil {
		return nil, errors.Join(err, c.blobs.release(manifest))
	}
	return &Tree{Path: path, Digest: artifact.Digest, Manifest: manifest, size: size}, nil
}

func (c *Cache) keepFile(ctx context.Context, artifact Artifact, path string) (*Tree, error) {
	file, err := c.fetch(ctx, artifact)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return nil, fmt.Errorf("keep artifact: %w", errors.Join(err, os.Remove(file.Name())))
	}
	return &Tree{Path: path, Digest: artifact.Digest, size: info.Size()}, nil
}

// fetch downloads into a temporary file, which the caller removes or renames.
func (c *Cache) fetch(ctx context.Context, artifact Artifact) (*os.File, error) {
	file, err := os.CreateTemp(c.options.Dir, "download-*")
	if err != nil {
		return nil, fmt.Errorf("download artifact: %w", err)
	}
	err = download(ctx, c.options.Client, artifact, c.options.Limits.Compressed, file)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	return file, nil
}
