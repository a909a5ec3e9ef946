// Package store keeps artifacts on disk and serves them: Flux's layout, <kind>/<namespace>/<name>/<file>, below one
// root that nothing escapes.
//
// A file appears whole or not at all: it is written beside its place, synced, and renamed. Names that start with a dot
// are the store's own and are never served.
package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-gitops/sluice/api/fileserver"
)

const (
	// Latest is the link to the current artifact in each object's folder.
	Latest = "latest.tar.gz"

	dirMode  = 0o700
	fileMode = 0o600
	tempMark = ".tmp-"
	workDir  = ".work"
)

// Options say where artifacts are advertised and how long superseded ones are kept.
type Options struct {
	// Address is the host, with or without port, under which the server is reached. A scheme in it is kept; without one
	// it is http.
	Address string
	// TTL is how long a superseded file stays at least for those that still read it, unless Records says otherwise.
	TTL time.Duration
	// Records is how many files of one object are kept at most, the current one included; at least 1.
	Records int
	// Clock tells the time; nil for time.Now.
	Clock func() time.Time
}

// Store is a folder of artifacts. It is safe for concurrent use on different objects.
type Store struct {
	dir     string
	root    *os.Root
	options Options
}

// Open opens the store in a folder, which it creates if needed, and clears what an earlier process left half-written.
func Open(dir string, o Options) (*Store, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Records = max(o.Records, 1)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("create storage: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	s := &Store{dir: dir, root: root, options: o}
	if err := s.clear(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return s, nil
}

// Close releases the folder.
func (s *Store) Close() error { return s.root.Close() }

// Path is where an object's file lies, relative to the root.
func Path(kind, namespace, name, file string) string {
	return path.Join(strings.ToLower(kind), namespace, name, file)
}

// URL is where a file is downloaded.
func (s *Store) URL(file string) string { return fileserver.URL(s.options.Address, file) }

// Written is what a file turned out to be.
type Written struct {
	// Digest is sha256:<hex> of the bytes in the file.
	Digest string
	// Size in bytes.
	Size int64
}

// Write stores what fill writes as the current file of its folder: it points [Latest] to it, and starts the clock of
// the file that was current before.
func (s *Store) Write(ctx context.Context, file string, fill func(io.Writer) error) (Written, error) {
	folder := path.Dir(file)
	if err := s.root.MkdirAll(folder, dirMode); err != nil {
		return Written{}, fmt.Errorf("create folder %s: %w", folder, cause(err))
	}
	temp := path.Join(folder, tempName())
	written, err := s.writeTemp(temp, fill)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return Written{}, errors.Join(err, s.removeTemp(temp))
	}
	s.retire(folder, path.Base(file))
	if err := s.root.Rename(temp, file); err != nil {
		return Written{}, errors.Join(fmt.Errorf("store %s: %w", file, cause(err)), s.removeTemp(temp))
	}
	if err := s.link(folder, path.Base(file)); err != nil {
		return Written{}, err
	}
	return written, s.syncDir(folder)
}

func (s *Store) writeTemp(temp string, fill func(io.Writer) error) (w Written, err error) {
	f, err := s.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return w, fmt.Errorf("create temporary file: %w", cause(err))
	}
	defer func() { err = errors.Join(err, cause(f.Close())) }()
	sum := sha256.New()
	counter := &counter{w: io.MultiWriter(f, sum)}
	if err := fill(counter); err != nil {
		return w, err
	}
	if err := f.Sync(); err != nil {
		return w, fmt.Errorf("sync artifact: %w", cause(err))
	}
	return Written{Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Size: counter.n}, nil
}

// retire sets the modification time of the file that is current until now: garbage collection counts from it. A file
// that cannot be touched is merely collected earlier.
func (s *Store) retire(folder, next string) {
	current, err := s.root.Readlink(path.Join(folder, Latest))
	if err != nil || current == next || strings.ContainsRune(current, '/') {
		return
	}
	now := s.options.Clock()
	if err := s.root.Chtimes(path.Join(folder, current), now, now); err != nil {
		return
	}
}

func (s *Store) link(folder, name string) error {
	temp := path.Join(folder, tempName())
	if err := s.root.Symlink(name, temp); err != nil {
		return fmt.Errorf("link %s: %w", Latest, cause(err))
	}
	if err := s.root.Rename(temp, path.Join(folder, Latest)); err != nil {
		return errors.Join(fmt.Errorf("link %s: %w", Latest, cause(err)), s.removeTemp(temp))
	}
	return nil
}

func (s *Store) syncDir(folder string) error {
	d, err := s.root.Open(folder)
	if err != nil {
		return fmt.Errorf("open folder %s: %w", folder, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", folder, err)
	}
	return nil
}

// ErrDigest says that a file is not the one it is taken for.
var ErrDigest = errors.New("the stored file has another digest")

// Verify reports whether a file is there with the given digest. One that has another is removed, so that it is served
// to nobody. It is for the controller that writes the file.
func (s *Store) Verify(file, digest string) (bool, error) {
	f, err := s.ReadVerified(file, digest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, ErrDigest):
		return false, s.remove(file)
	case err != nil:
		return false, err
	}
	return true, f.Close()
}

// ReadVerified opens a stored file that has the given digest, at its start.
func (s *Store) ReadVerified(file, digest string) (*os.File, error) {
	f, err := s.Read(file)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", file, err), f.Close())
	}
	if "sha256:"+hex.EncodeToString(sum.Sum(nil)) != digest {
		return nil, errors.Join(ErrDigest, f.Close())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", file, err), f.Close())
	}
	return f, nil
}

// Read opens a stored file.
func (s *Store) Read(file string) (*os.File, error) {
	if !filepath.IsLocal(file) {
		return nil, fmt.Errorf("read %q: %w", file, fs.ErrNotExist)
	}
	f, err := s.root.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read artifact: %w", err)
	}
	return f, nil
}

// Delete removes everything of one object.
func (s *Store) Delete(kind, namespace, name string) error {
	if err := s.root.RemoveAll(Path(kind, namespace, name, "")); err != nil {
		return fmt.Errorf("delete artifacts of %s %s/%s: %w", kind, namespace, name, err)
	}
	return nil
}

// Scratch makes an empty folder for one attempt; done removes it. Folders that a killed process leaves behind go when
// the store is opened again.
func (s *Store) Scratch() (folder *os.Root, dir string, done func() error, err error) {
	name := path.Join(workDir, tempName())
	if err := s.root.MkdirAll(name, dirMode); err != nil {
		return nil, "", nil, fmt.Errorf("create scratch folder: %w", cause(err))
	}
	root, err := s.root.OpenRoot(name)
	if err != nil {
		return nil, "", nil, errors.Join(fmt.Errorf("open scratch folder: %w", cause(err)), s.root.RemoveAll(name))
	}
	done = func() error { return errors.Join(root.Close(), s.root.RemoveAll(name)) }
	return root, filepath.Join(s.dir, name), done, nil
}

func (s *Store) remove(file string) error {
	if err := s.root.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", file, cause(err))
	}
	return nil
}

// removeTemp removes a temporary file, without a word about its name.
func (s *Store) removeTemp(temp string) error {
	if err := s.root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove temporary file: %w", cause(err))
	}
	return nil
}

func tempName() string { return tempMark + strings.ToLower(rand.Text()) }

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, cause(err)
}

// cause is what went wrong, without the name of the file: temporary names differ from one attempt to the next, and a
// message that always differs is always news.
func cause(err error) error {
	var file *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &file):
		return file.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
