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

	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
)

// maxTreeDepth bounds recursion; what is deeper is refused when it is packed anyway.
const maxTreeDepth = 300

// Snapshot is one commit of a clone. It implements [pack.Tree] and must be closed.
type Snapshot struct {
	// Subject is the first line of the commit's message.
	Subject string

	tree    plumbing.Hash
	objects *filesystem.Storage
}

// Snapshot opens a commit that was fetched.
func (c *Clone) Snapshot(commit string) (*Snapshot, error) {
	s := c.open(c.dir)
	found, err := readCommit(s, commit)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	subject, _, _ := strings.Cut(strings.TrimSpace(found.Message), "\n")
	return &Snapshot{Subject: strings.TrimSpace(subject), tree: found.TreeHash, objects: s}, nil
}

func readCommit(s *filesystem.Storage, commit string) (*object.Commit, error) {
	found, err := object.GetCommit(s, plumbing.NewHash(commit))
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, fmt.Errorf("%w: there is no commit %s", ErrNoCommit, commit)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: commit %s", ErrCorrupt, commit)
	}
	return found, nil
}

// Close releases the clone's files.
func (s *Snapshot) Close() error {
	if err := s.objects.Close(); err != nil {
		return fmt.Errorf("close clone: %w", err)
	}
	return nil
}

// Walk implements [pack.Tree], in the order in which git keeps a tree.
func (s *Snapshot) Walk(ctx context.Context, visit func(pack.Entry) error) error {
	return s.walk(ctx, s.tree, "", 0, visit)
}

func (s *Snapshot) walk(ctx context.Context, hash plumbing.Hash, prefix string, depth int, visit func(pack.Entry) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tree, err := object.GetTree(s.objects, hash)
	if err != nil {
		return fmt.Errorf("%w: folder %q", ErrCorrupt, prefix)
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
		if entry.Kind != pack.Dir {
			continue
		}
		if err := s.walk(ctx, e.Hash, prefix+e.Name+"/", depth+1, visit); err != nil {
			return err
		}
	}
	return nil
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
		entry.Kind = pack.Submodule
		return entry, nil
	case filemode.Executable:
		entry.Kind = pack.Executable
	case filemode.Regular, filemode.Deprecated:
		entry.Kind = pack.Regular
	default:
		return entry, fmt.Errorf("%w: %q has the mode %s", pack.ErrHostile, path, e.Mode)
	}
	size, err := s.objects.EncodedObjectSize(e.Hash)
	if err != nil {
		return entry, fmt.Errorf("%w: file %q", ErrCorrupt, path)
	}
	entry.Size = size
	entry.Open = func() (io.ReadCloser, error) { return s.blob(path, e.Hash) }
	return entry, nil
}

func (s *Snapshot) blob(path string, hash plumbing.Hash) (io.ReadCloser, error) {
	found, err := s.objects.EncodedObject(plumbing.BlobObject, hash)
	if err != nil {
		return nil, fmt.Errorf("%w: file %q", ErrCorrupt, path)
	}
	r, err := found.Reader()
	if err != nil {
		return nil, fmt.Errorf("%w: file %q", ErrCorrupt, path)
	}
	return r, nil
}
