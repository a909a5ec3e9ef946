package tree

import (
	"io/fs"
	"path"
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
	// Digest of a file's content, sha256:<hex>; empty for a directory.
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
