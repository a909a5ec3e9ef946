package tree

import (
	"fmt"
	"path"
	"slices"

	"github.com/sluice-gitops/sluice/render-controller/internal/trace"
)

// Kind is what a path in a tree is.
type Kind string

// The kinds of path. Nothing else is unpacked.
const (
	Directory Kind = "directory"
	File      Kind = "file"
)

// Entry is what is known about one path.
type Entry struct {
	Kind Kind `json:"kind"`
	// Digest of a file's content, or of the names in a directory: sha256:<hex>.
	Digest string `json:"digest"`
	// Size of a file in bytes.
	Size int64 `json:"size,omitempty"`
}

// Manifest tells of every path in a tree: slash-separated, relative to its root, "." being the root. It is not changed
// once the tree is there, so reading it needs no lock.
type Manifest map[string]Entry

// add enters a path and the directories above it.
func (m Manifest) add(name string, entry Entry) error {
	if known, there := m[name]; there && (known.Kind == File || entry.Kind == File) {
		return fmt.Errorf("%q is in the archive twice", name)
	}
	m[name] = entry
	for dir := path.Dir(name); m[dir].Kind != Directory; dir = path.Dir(dir) {
		if m[dir].Kind == File {
			return fmt.Errorf("%q is in the archive as a file, and %q below it", dir, name)
		}
		m[dir] = Entry{Kind: Directory}
	}
	return nil
}

// list returns the sorted names in each directory.
func (m Manifest) list() map[string][]string {
	names := map[string][]string{}
	for name, entry := range m {
		if entry.Kind == Directory && names[name] == nil {
			names[name] = []string{}
		}
		if name != "." {
			names[path.Dir(name)] = append(names[path.Dir(name)], path.Base(name))
		}
	}
	for _, inside := range names {
		slices.Sort(inside)
	}
	return names
}

// seal enters the digests of all directories, after the last path.
func (m Manifest) seal() {
	for dir, names := range m.list() {
		m[dir] = Entry{Kind: Directory, Digest: trace.Listing(names)}
	}
}

// Answer is what a build is told that asks the tree, in the words of package trace.
func (m Manifest) Answer(call, name string) string {
	entry, known := m[name]
	switch {
	case !known:
		return trace.Absent
	case call == trace.CallList && entry.Kind == Directory, call == trace.CallRead && entry.Kind == File:
		return entry.Digest
	case entry.Kind == Directory:
		return trace.Directory
	default:
		return trace.File
	}
}
