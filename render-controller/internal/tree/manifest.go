package tree

import (
	"io/fs"
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
	// Mode holds the permission bits on disk.
	Mode fs.FileMode `json:"mode"`
	// Digest of a file's content, or of the names in a directory: sha256:<hex>.
	Digest string `json:"digest,omitempty"`
	// Size of a file in bytes.
	Size int64 `json:"size,omitempty"`
}

// Manifest tells of every path in a tree: slash-separated, relative to its root, "." being the root. It is not changed
// once the tree is there, so reading it needs no lock.
type Manifest map[string]Entry

// addParents enters the directories above name.
func (m Manifest) addParents(name string) {
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if _, known := m[dir]; known {
			return
		}
		m[dir] = Entry{Kind: Directory, Mode: dirMode}
		if dir == "." {
			return
		}
	}
}

// list enters the digests of all directories.
func (m Manifest) list() {
	names := map[string][]string{}
	for name, entry := range m {
		if entry.Kind == Directory && names[name] == nil {
			names[name] = []string{}
		}
		if name != "." {
			names[path.Dir(name)] = append(names[path.Dir(name)], path.Base(name))
		}
	}
	for dir, inside := range names {
		slices.Sort(inside)
		entry := m[dir]
		entry.Digest = trace.Listing(inside)
		m[dir] = entry
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
