// Package trace records what a build asked its file system, and what it was told. Held against the manifest of another
// tree ([Stands]), the record decides whether the build would be told the same again, and its content therefore stands.
package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// The calls that are recorded.
const (
	CallRead = "read"
	CallStat = "stat"
	CallList = "list"
)

// The answers other than a digest.
const (
	Absent    = "absent"
	Directory = "directory"
	File      = "file"
)

// maxEntries bounds one trace. A build that asks more is not memoised by it.
const maxEntries = 100_000

// Entry is one question and its answer.
type Entry struct {
	// Call that was made.
	Call string `json:"call"`
	// Path that was asked about, slash-separated, relative to the root of the tree.
	Path string `json:"path"`
	// Answer that was given: absent, a directory, a file, or sha256:<hex> of a file's content or of a listing.
	Answer string `json:"answer"`
}

// Stands says whether the build would be told the same again by a tree whose answers those are. No entries decide nothing.
func Stands(entries []Entry, answer func(call, path string) string) bool {
	for _, entry := range entries {
		if answer(entry.Call, entry.Path) != entry.Answer {
			return false
		}
	}
	return len(entries) > 0
}

// Recorder collects the entries of one build, each once, in the order of asking. The zero value is ready. It is for one
// goroutine.
type Recorder struct {
	entries []Entry
	seen    map[Entry]struct{}
	invalid bool
}

// Record takes down an answer.
func (r *Recorder) Record(call, path, answer string) {
	entry := Entry{Call: call, Path: path, Answer: answer}
	if _, known := r.seen[entry]; known {
		return
	}
	if len(r.entries) >= maxEntries {
		r.Invalidate()
		return
	}
	if r.seen == nil {
		r.seen = map[Entry]struct{}{}
	}
	r.seen[entry] = struct{}{}
	r.entries = append(r.entries, entry)
}

// Invalidate says that the build was told something that no entry can hold: it has no trace then.
func (r *Recorder) Invalidate() { r.invalid = true }

// Entries returns what was recorded; nil when the build has no trace.
func (r *Recorder) Entries() []Entry {
	if r.invalid {
		return nil
	}
	return r.entries
}

// Content is the answer for what a file holds.
func Content(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Listing is the answer for the sorted names in a directory.
func Listing(names []string) string { return Content([]byte(strings.Join(names, "\x00"))) }
