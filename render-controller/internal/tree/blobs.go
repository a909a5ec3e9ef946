package tree

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// MaxFile is how many bytes of a file can be read, by [View.ReadFile]. Of a larger one the tree knows only that it is there.
const MaxFile = 32 << 20

const sha256Prefix = "sha256:"

// blobs holds the contents of files by digest, each once for all trees that have it. It is safe for concurrent use.
type blobs struct {
	dir string

	mu sync.Mutex
	// held counts the paths, in all trees, that have a content.
	held map[string]int
	size int64
}

func openBlobs(dir string) (*blobs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of file contents: %w", err)
	}
	return &blobs{dir: dir, held: map[string]int{}}, nil
}

// add takes a content of at most limit+1 bytes in; the caller refuses what is longer than limit, and releases the entry
// when it has no use for it any more. The buffer is the caller's to use again.
func (b *blobs) add(content io.Reader, limit int64, buffer *bytes.Buffer) (Entry, error) {
	buffer.Reset()
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(buffer, sum), io.LimitReader(content, min(limit, MaxFile)+1))
	if err == nil && size > MaxFile {
		buffer.Reset()
		var rest int64
		rest, err = io.Copy(sum, io.LimitReader(content, limit-size+1))
		size += rest
	}
	if err != nil {
		return Entry{}, err
	}
	entry := Entry{Kind: File, Digest: sha256Prefix + hex.EncodeToString(sum.Sum(nil)), Size: size}
	if size > MaxFile {
		return entry, nil
	}
	return entry, b.keep(entry, buffer.Bytes())
}

func (b *blobs) keep(entry Entry, content []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[entry.Digest] == 0 {
		if err := os.WriteFile(b.path(entry.Digest), content, 0o600); err != nil {
			return errors.Join(err, os.RemoveAll(b.path(entry.Digest)))
		}
		b.size += entry.Size
	}
	b.held[entry.Digest]++
	return nil
}

// release takes back what a tree's manifest holds.
func (b *blobs) release(manifest Manifest) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var failed error
	for _, entry := range manifest {
		if entry.Kind != File || b.held[entry.Digest] == 0 {
			continue
		}
		if b.held[entry.Digest]--; b.held[entry.Digest] == 0 {
			delete(b.held, entry.Digest)
			b.size -= entry.Size
			failed = errors.Join(failed, os.Remove(b.path(entry.Digest)))
		}
	}
	return failed
}

// bytes is how much all contents have.
func (b *blobs) bytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size
}

func (b *blobs) path(digest string) string { return filepath.Join(b.dir, blobName(digest)) }

func blobName(digest string) string { return strings.TrimPrefix(digest, sha256Prefix) }
