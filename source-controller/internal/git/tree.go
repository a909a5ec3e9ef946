package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
)

// maxTreeDepth bounds recursion; what is deeper is refused when it is packed anyway.
const maxTreeDepth = 300

const (
	// maxCommit and maxTree bound what is decoded as a whole: a folder of this size has hundreds of thousands of entries.
	maxCommit = 1 << 20
	maxTree   = 32 << 20
	// maxSubject bounds the first line of a message, in bytes.
	maxSubject = 200
)

// Snapshot is one commit of a clone. It implements [pack.Tree], and can be read until the clone is closed or fetched into.
type Snapshot struct {
	// Subject is the first line of the commit's message, shortened.
	Subject string

	tree    plumbing.Hash
	objects *filesystem.Storage
	// modules are the submodules that were opened, by their paths in the whole.
	modules map[string]*Snapshot
}

// Snapshot opens a commit that was fetched.
func (c *Clone) Snapshot(commit string) (*Snapshot, error) {
	s := c.open()
	found, err := readCommit(s, commit)
	if err != nil {
		return nil, err
	}
	subject, _, _ := strings.Cut(strings.TrimSpace(strings.ToValidUTF8(found.Message, "\uFFFD")), "\n")
	return &Snapshot{Subject: event.Shorten(strings.TrimSpace(subject), maxSubject), tree: found.TreeHash, objects: s}, nil
}

// readCommit fails with [ErrNoCommit] if a commit is not there, and with [ErrCorrupt] if it should be but cannot be read.
func readCommit(s *filesystem.Storage, commit string) (*object.Commit, error) {
	hash := plumbing.NewHash(commit)
	found, err := s.EncodedObject(plumbing.AnyObject, hash)
	switch {
	case err == nil && found.Type() != plumbing.CommitObject:
		return nil, fmt.Errorf("%w: %s is a %s", ErrNoCommit, commit, found.Type())
	case errors.Is(err, plumbing.ErrObjectNotFound):
		return nil, fmt.Errorf("%w: there is no commit %s", ErrNoCommit, commit)
	case err != nil:
		return nil, fmt.Errorf("%w: commit %s", ErrCorrupt, commit)
	case found.Size() > maxCommit:
		return nil, fmt.Errorf("%w: commit %s has more than %d bytes", ErrTooLarge, commit, maxCommit)
	}
	decoded, err := object.DecodeCommit(s, found)
	if err != nil {
		return nil, fmt.Errorf("%w: commit %s", ErrCorrupt, commit)
	}
	return decoded, nil
}

// Walk implements [pack.Tree], in the order in which git keeps a tree.
func (s *Snapshot) Walk(ctx context.Context, visit func(pack.Entry) error) error {
	return s.walk(ctx, s.tree, "", 0, visit)
}

func (s *Snapshot) walk(ctx context.Context, hash plumbing.Hash, prefix string, depth int, visit func(pack.Entry) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tree, err := s.readTree(hash, prefix)
	if err != nil {
		return err
	}
	seen := make(map[string]bool, len(tree.Entries))
	for _, e := range tree.Entries {
		if seen[e.Name] || depth > maxTreeDepth {
			return fmt.Errorf("%w: folder %q has an entry twice, or is nested too deep", pack.ErrHostile, prefix)
		}
		seen[e.Name] = true
		if strings.ContainsRune(e.Name, '/') {
			return fmt.Errorf("%w: an entry of folder %q has a slash in its name", pack.ErrHostile, prefix)
		}
		entry, err := s.entry(prefix+e.Name, e)
		if err != nil {
			return err
		}
		if err := visit(entry); err != nil {
			return err
		}
		if err := s.descend(ctx, e, entry, depth, visit); err != nil {
			return err
		}
	}
	return nil
}

// descend visits what is in an entry: a folder, or a submodule that was opened.
func (s *Snapshot) descend(ctx context.Context, e object.TreeEntry, entry pack.Entry, depth int, visit func(pack.Entry) error) error {
	module := s.modules[entry.Path]
	switch {
	case entry.Kind != pack.Dir:
		return nil
	case e.Mode == filemode.Submodule:
		return module.walk(ctx, module.tree, entry.Path+"/", depth+1, visit)
	}
	return s.walk(ctx, e.Hash, entry.Path+"/", depth+1, visit)
}

func (s *Snapshot) entry(path string, e object.TreeEntry) (pack.Entry, error) {
	entry := pack.Entry{Path: path}
	switch e.Mode {
	case filemode.Dir:
		entry.Kind = pack.Dir
		return entry, nil
	case filemode.Symlink:
		entry.Kind = pack.Link
		return entry, nil
	case filemode.Submodule:
		if entry.Kind = pack.Submodule; s.modules[path] != nil {
			entry.Kind = pack.Dir
		}
		return entry, nil
	case filemode.Executable:
		entry.Kind = pack.Executable
	case filemode.Regular, filemode.Deprecated:
		entry.Kind = pack.Regular
	default:
		return entry, fmt.Errorf("%w: %q has the mode %s", pack.ErrHostile, path, e.Mode)
	}
	entry.Open = func() (io.ReadCloser, int64, error) { return s.blob(path, e.Hash) }
	return entry, nil
}

func (s *Snapshot) readTree(hash plumbing.Hash, prefix string) (*object.Tree, error) {
	found, err := s.objects.EncodedObject(plumbing.TreeObject, hash)
	if err != nil {
		return nil, fmt.Errorf("%w: folder %q", ErrCorrupt, prefix)
	}
	if found.Size() > maxTree {
		return nil, fmt.Errorf("%w: folder %q has more than %d bytes of names", ErrTooLarge, prefix, maxTree)
	}
	tree, err := object.DecodeTree(s.objects, found)
	if err != nil {
		return nil, fmt.Errorf("%w: folder %q", ErrCorrupt, prefix)
	}
	return tree, nil
}

func (s *Snapshot) blob(path string, hash plumbing.Hash) (io.ReadCloser, int64, error) {
	found, err := s.objects.EncodedObject(plumbing.BlobObject, hash)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: file %q", ErrCorrupt, path)
	}
	r, err := found.Reader()
	if err != nil {
		return nil, 0, fmt.Errorf("%w: file %q", ErrCorrupt, path)
	}
	return &content{ReadCloser: r, path: path, left: found.Size()}, found.Size(), nil
}

// content is a file's, which has to be as long as the object store says: it is damaged otherwise.
type content struct {
	io.ReadCloser
	path string
	left int64
}

func (c *content) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.left -= int64(n)
	switch {
	case c.left < 0, err != nil && !errors.Is(err, io.EOF), err != nil && c.left > 0:
		return n, fmt.Errorf("%w: file %q", ErrCorrupt, c.path)
	}
	return n, err
}
