package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
)

// maxListed bounds how many files of one folder are looked at; what is beyond goes next time.
const maxListed = 1000

// Collect removes what is superseded in the folder of one object: files older than the TTL, and of the rest the oldest
// until no more than the allowed number stay. The current file always stays, and [Latest] points to it, even if a process
// was killed after it had stored another one that the status never came to advertise. So does what the status advertises,
// nil for nothing: it may take a while until it can be written. It returns how many went.
func (s *Store) Collect(current string, advertised *meta.Artifact) (int, error) {
	folder := path.Dir(current)
	if err := s.relink(folder, path.Base(current)); err != nil {
		return 0, err
	}
	old, err := s.records(folder)
	if err != nil {
		return 0, err
	}
	old = slices.DeleteFunc(old, func(r record) bool {
		file := path.Join(folder, r.name)
		return file == current || advertised != nil && file == advertised.Path
	})
	names := garbage(old, s.options.Clock().Add(-s.options.TTL), s.options.Records-1)
	for i, name := range names {
		if err := s.remove(path.Join(folder, name)); err != nil {
			return i, err
		}
	}
	return len(names), nil
}

// relink points Latest to a file that is there.
func (s *Store) relink(folder, name string) error {
	if target, err := s.root.Readlink(path.Join(folder, Latest)); err == nil && target == name {
		return nil
	}
	if _, err := s.root.Lstat(path.Join(folder, name)); err != nil {
		return nil // it was lost; what makes it again links it
	}
	return s.link(folder, name)
}

// record is one file.
type record struct {
	name    string
	retired time.Time
}

// garbage picks the names of the records that go: those retired before the deadline, and the oldest beyond keep.
func garbage(records []record, deadline time.Time, keep int) []string {
	sort.Slice(records, func(i, j int) bool {
		if !records[i].retired.Equal(records[j].retired) {
			return records[i].retired.After(records[j].retired)
		}
		return records[i].name > records[j].name
	})
	var names []string
	for i, r := range records {
		if i >= keep || r.retired.Before(deadline) {
			names = append(names, r.name)
		}
	}
	return names
}

// records are the files of a folder.
func (s *Store) records(folder string) ([]record, error) {
	d, err := s.root.Open(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", folder, err)
	}
	// An empty folder ends with io.EOF, which says as much as no entries do.
	entries, _ := d.ReadDir(maxListed)
	if err := d.Close(); err != nil {
		return nil, fmt.Errorf("list %s: %w", folder, err)
	}
	var records []record
	for _, e := range entries {
		if e.Name() == Latest || strings.HasPrefix(e.Name(), ".") || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // removed meanwhile
		}
		records = append(records, record{e.Name(), info.ModTime()})
	}
	return records, nil
}

// Keep removes the folders of a kind's objects for which live is false: those deleted while no controller ran.
func (s *Store) Keep(kind string, live func(namespace, name string) bool) error {
	kind = strings.ToLower(kind)
	for _, namespace := range s.folders(kind) {
		for _, name := range s.folders(path.Join(kind, namespace)) {
			if live(namespace, name) {
				continue
			}
			if err := s.Delete(kind, namespace, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) folders(dir string) []string {
	entries, err := fs.ReadDir(s.root.FS(), dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// clear removes temporary files and scratch folders.
func (s *Store) clear() error {
	if err := s.root.RemoveAll(workDir); err != nil {
		return fmt.Errorf("clear scratch folders: %w", err)
	}
	err := fs.WalkDir(s.root.FS(), ".", func(file string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir() && strings.HasPrefix(e.Name(), ".") && file != ".":
			return fs.SkipDir
		case !e.IsDir() && strings.HasPrefix(e.Name(), tempMark):
			return s.remove(file)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("clear temporary files: %w", err)
	}
	return nil
}

// Folder is a folder of the store's own, by a name that starts with a dot, which no artifact shares.
func (s *Store) Folder(name string) (string, error) {
	if err := s.root.MkdirAll(name, dirMode); err != nil {
		return "", fmt.Errorf("create folder %s: %w", name, err)
	}
	return s.dir + string(os.PathSeparator) + name, nil
}
