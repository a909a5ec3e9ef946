package tree

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// blobsDir is the folder of the contents, beside the manifests.
const blobsDir = "contents"

// View reads one tree. There are no paths on disk to follow: what is not in the manifest does not exist. It is for one
// goroutine.
type View struct {
	manifest Manifest
	names    map[string][]string
	contents *os.Root
}

// OpenView opens the tree at a [Tree.Path] while it is held. The caller closes it.
func OpenView(file string) (*View, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("open tree: %w", err)
	}
	v := &View{}
	if err := json.Unmarshal(raw, &v.manifest); err != nil {
		return nil, fmt.Errorf("open tree: read manifest: %w", err)
	}
	v.names = v.manifest.list()
	if v.contents, err = os.OpenRoot(filepath.Join(filepath.Dir(file), blobsDir)); err != nil {
		return nil, fmt.Errorf("open tree: %w", err)
	}
	return v, nil
}

// writeManifest puts a tree where OpenView opens it, and returns the size of the file.
func writeManifest(file string, manifest Manifest) (int64, error) {
	raw, err := json.Marshal(manifest)
	if err == nil {
		err = os.WriteFile(file, raw, 0o600)
	}
	if err != nil {
		return 0, fmt.Errorf("write manifest: %w", err)
	}
	return int64(len(raw)), nil
}

// Close ends the reading.
func (v *View) Close() error { return v.contents.Close() }

// ReadFile returns what a file holds. A file of more than [MaxFile] bytes is not read.
func (v *View) ReadFile(name string) ([]byte, error) {
	entry, err := v.find("read", name, File)
	if err != nil {
		return nil, err
	}
	if entry.Size > MaxFile {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that are read", name, entry.Size, MaxFile)
	}
	return v.contents.ReadFile(blobName(entry.Digest))
}

// ReadDir returns what is in a directory, by name.
func (v *View) ReadDir(name string) ([]fs.DirEntry, error) {
	if _, err := v.find("list", name, Directory); err != nil {
		return nil, err
	}
	inside := make([]fs.DirEntry, 0, len(v.names[name]))
	for _, base := range v.names[name] {
		inside = append(inside, fs.FileInfoToDirEntry(info{base, v.manifest[path.Join(name, base)]}))
	}
	return inside, nil
}

// Stat tells what is at a path.
func (v *View) Stat(name string) (fs.FileInfo, error) {
	entry, there := v.manifest[name]
	if !there {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return info{path.Base(name), entry}, nil
}

func (v *View) find(operation, name string, want Kind) (Entry, error) {
	entry, there := v.manifest[name]
	switch {
	case !there:
		return entry, &fs.PathError{Op: operation, Path: name, Err: fs.ErrNotExist}
	case entry.Kind != want:
		return entry, &fs.PathError{Op: operation, Path: name, Err: fmt.Errorf("it is a %s", entry.Kind)}
	}
	return entry, nil
}

// info is an entry as io/fs has it. Trees have no times and no modes.
type info struct {
	name  string
	entry Entry
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.entry.Size }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.entry.Kind == Directory }
func (i info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	if i.IsDir() {
		return fs.ModeDir | 0o500
	}
	return 0o400
}
