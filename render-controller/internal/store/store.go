package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// extension ends the name of a sealed rendering.
const extension = ".age"

// kept is how many files a subject has: the current and the one before.
const kept = 2

// Subject names whose rendering a file is.
type Subject struct{ Kind, Namespace, Name string }

func (s Subject) dir() string { return path.Join(strings.ToLower(s.Kind), s.Namespace, s.Name) }

// File is a stored rendering.
type File struct {
	// Path below the server's root.
	Path string
	// Digest of the ciphertext, sha256:<hex>.
	Digest string
	// Size in bytes.
	Size int64
}

// Store is a directory of sealed renderings. It is safe for concurrent use by one process.
type Store struct {
	root *os.Root
	mu   sync.Mutex // orders the removal of old files
}

// Open opens, and creates if needed, a store in a directory, and clears what an interrupted write has left.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open rendering store: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open rendering store: %w", err)
	}
	s := &Store{root: root}
	if err := s.sweepTemporary(); err != nil {
		return nil, errors.Join(fmt.Errorf("open rendering store: %w", err), root.Close())
	}
	return s, nil
}

// Close closes the store.
func (s *Store) Close() error { return s.root.Close() }

// Put stores what write writes, and drops all but the newest two files of the subject. Nothing is stored when write fails.
func (s *Store) Put(subject Subject, write func(io.Writer) error) (File, error) {
	dir := subject.dir()
	if !validDir(dir) {
		return File{}, fmt.Errorf("store rendering: %q is not a path of a subject", dir)
	}
	if err := s.root.MkdirAll(dir, 0o700); err != nil {
		return File{}, fmt.Errorf("store rendering: %w", err)
	}
	temporary := path.Join(dir, fmt.Sprintf(".writing-%d", time.Now().UnixNano()))
	stored, err := s.writeFile(temporary, write)
	if err == nil {
		stored.Path = path.Join(dir, strings.TrimPrefix(stored.Digest, "sha256:")+extension)
		err = s.root.Rename(temporary, stored.Path)
	}
	if err != nil {
		return File{}, fmt.Errorf("store rendering: %w", errors.Join(err, ignoreMissing(s.root.Remove(temporary))))
	}
	if err := s.syncDir(dir); err != nil {
		return File{}, fmt.Errorf("store rendering: %w", err)
	}
	return stored, s.dropOld(dir)
}

func (s *Store) writeFile(name string, write func(io.Writer) error) (File, error) {
	file, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return File{}, err
	}
	sum := sha256.New()
	counted := &counter{to: io.MultiWriter(file, sum)}
	err = write(counted)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return File{}, err
	}
	return File{Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Size: counted.size}, nil
}

func (s *Store) syncDir(dir string) error {
	opened, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}

// dropOld removes all but the newest files of a subject.
func (s *Store) dropOld(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	files, err := s.files(dir)
	if err != nil {
		return fmt.Errorf("drop old renderings: %w", err)
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, old := range files[min(kept, len(files)):] {
		if err := s.root.Remove(path.Join(dir, old.Name())); ignoreMissing(err) != nil {
			return fmt.Errorf("drop old rendering: %w", err)
		}
	}
	return nil
}

func (s *Store) files(dir string) ([]fs.FileInfo, error) {
	entries, err := fs.ReadDir(s.root.FS(), dir)
	if err != nil {
		return nil, err
	}
	var files []fs.FileInfo
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() && strings.HasSuffix(info.Name(), extension) {
			files = append(files, info)
		}
	}
	return files, nil
}

// Has says whether the subject's file of that digest is there, as it was stored.
func (s *Store) Has(subject Subject, digest string, size int64) bool {
	name, ok := strings.CutPrefix(digest, "sha256:")
	file := path.Join(subject.dir(), name+extension)
	if !ok || !valid(file) {
		return false
	}
	if info, err := s.root.Lstat(file); err != nil || !info.Mode().IsRegular() || info.Size() != size {
		return false
	}
	stored, err := s.root.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = stored.Close() }() // it was only read
	sum := sha256.New()
	_, err = io.Copy(sum, stored)
	return err == nil && hex.EncodeToString(sum.Sum(nil)) == name
}

// Read opens a file by its path; the caller closes it.
func (s *Store) Read(file string) (*os.File, error) {
	if !valid(file) {
		return nil, fmt.Errorf("read %q: %w", file, fs.ErrNotExist)
	}
	opened, err := s.root.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read rendering: %w", err)
	}
	return opened, nil
}

// Remove deletes all files of a subject. A subject without files is no error.
func (s *Store) Remove(subject Subject) error {
	dir := subject.dir()
	if !validDir(dir) {
		return nil
	}
	if err := s.root.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove renderings of %s: %w", dir, err)
	}
	return nil
}

// Size returns how many bytes all files take.
func (s *Store) Size() (int64, error) {
	var size int64
	err := fs.WalkDir(s.root.FS(), ".", func(_ string, entry fs.DirEntry, err error) error {
		if ignoreMissing(err) != nil || entry == nil || entry.IsDir() {
			return ignoreMissing(err)
		}
		info, err := entry.Info()
		if err != nil {
			return ignoreMissing(err) // replaced in the meantime
		}
		size += info.Size()
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("measure renderings: %w", err)
	}
	return size, nil
}

// Subjects lists who has files, with the kind in lower case.
func (s *Store) Subjects() ([]Subject, error) {
	dirs, err := fs.Glob(s.root.FS(), "*/*/*")
	if err != nil {
		return nil, fmt.Errorf("list renderings: %w", err)
	}
	var all []Subject
	for _, dir := range dirs {
		if parts := strings.Split(dir, "/"); validDir(dir) {
			all = append(all, Subject{Kind: parts[0], Namespace: parts[1], Name: parts[2]})
		}
	}
	return all, nil
}

func (s *Store) sweepTemporary() error {
	left, err := fs.Glob(s.root.FS(), "*/*/*/.writing-*")
	if err != nil {
		return err
	}
	for _, name := range left {
		if err := s.root.Remove(name); ignoreMissing(err) != nil {
			return err
		}
	}
	return nil
}

// A path of a subject, and of a file: names are those that Kubernetes gives.
var (
	dirPattern  = regexp.MustCompile(`^[a-z]+/[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
	filePattern = regexp.MustCompile(`^[a-z]+/[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[0-9a-f]{64}\.age$`)
)

func validDir(dir string) bool { return dirPattern.MatchString(dir) }
func valid(file string) bool   { return filePattern.MatchString(file) }

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

type counter struct {
	to   io.Writer
	size int64
}

func (c *counter) Write(data []byte) (int, error) {
	n, err := c.to.Write(data)
	c.size += int64(n)
	return n, err
}
