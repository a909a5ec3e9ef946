package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

const (
	// maxPacks is how many fetches a clone takes before it is fetched afresh, which also sheds what is superseded.
	maxPacks = 48
	// objectCache is how much of a repository is kept in memory while it is read.
	objectCache = 16 * cache.MiByte
	// largeObject is from which size on a file is read from disk piece by piece.
	largeObject = 4 << 20
	// tip is the reference to what was fetched last: what the next fetch need not bring.
	tip plumbing.ReferenceName = "refs/sluice/tip"
)

// Clone is one bare clone on disk. It is for one goroutine at a time.
type Clone struct {
	dir string
}

// Has reports whether a commit is there; false if there is no clone at all.
func (c *Clone) Has(commit string) bool {
	s := c.open(c.dir)
	defer func() { _ = s.Close() }() // it was only read
	_, err := readCommit(s, commit)
	return err == nil
}

// Remove removes the clone; the next fetch starts from nothing.
func (c *Clone) Remove() error {
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("remove clone: %w", err)
	}
	return nil
}

// Fetch brings a target's commit, and of its history nothing if the server allows it. The session must have an
// advertisement. If it fails the clone is as it was.
func (c *Clone) Fetch(ctx context.Context, s *Session, t plan.Target) error {
	if c.Has(t.Commit) {
		return nil
	}
	if wants := s.wants(t); len(wants) > 0 {
		err := c.increment(ctx, s, wants, t.Commit)
		if err == nil || t.Object != "" || ctx.Err() != nil {
			return err
		}
	}
	// The server does not give away single commits: look for it in the history.
	wants := s.everything(t)
	if len(wants) == 0 {
		return missing(t)
	}
	err := c.replace(ctx, s, wants, t.Commit, true)
	if errors.Is(err, ErrNoCommit) {
		return missing(t)
	}
	return err
}

func missing(t plan.Target) error {
	where := "in the repository"
	if t.Ref != "" {
		where = "in " + t.Ref
	}
	return fmt.Errorf("%w: %s is not %s; correct spec.ref.commit", ErrNoCommit, t.Commit, where)
}

// increment fetches into the clone if it is good for that, and makes a new one otherwise.
func (c *Clone) increment(ctx context.Context, s *Session, wants []plumbing.Hash, commit string) error {
	if !c.extendable() {
		return c.replace(ctx, s, wants, commit, false)
	}
	err := c.fill(ctx, c.dir, s, wants, commit, false)
	// Damage in older packs shows only when the clone is opened again.
	if (errors.Is(err, ErrCorrupt) || err == nil && !c.Has(commit)) && ctx.Err() == nil {
		return c.replace(ctx, s, wants, commit, false)
	}
	return err
}

func (c *Clone) extendable() bool {
	packs, err := filepath.Glob(filepath.Join(c.dir, "objects", "pack", "*.pack"))
	return err == nil && len(packs) > 0 && len(packs) < maxPacks
}

// replace fetches into a new folder, which takes the clone's place when it is complete.
func (c *Clone) replace(ctx context.Context, s *Session, wants []plumbing.Hash, commit string, history bool) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(c.dir), filepath.Base(c.dir)+newMark)
	if err != nil {
		return fmt.Errorf("create clone: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := c.fill(ctx, dir, s, wants, commit, history); err != nil {
		return err
	}
	if err := c.Remove(); err != nil {
		return err
	}
	if err := os.Rename(dir, c.dir); err != nil {
		return fmt.Errorf("store clone: %w", err)
	}
	return nil
}

func (c *Clone) fill(
	ctx context.Context, dir string, s *Session, wants []plumbing.Hash, commit string, history bool,
) (err error) {
	if err := removePartial(dir); err != nil {
		return err
	}
	into := c.open(dir)
	defer func() { err = errors.Join(err, into.Close()) }()
	if err := into.Init(); err != nil {
		return fmt.Errorf("create clone: %w", err)
	}
	if err := s.fetch(ctx, into, wants, tipOf(into), history); err != nil {
		return errors.Join(err, removePartial(dir))
	}
	if _, err := readCommit(into, commit); err != nil {
		return err
	}
	if err := into.SetReference(plumbing.NewHashReference(tip, plumbing.NewHash(commit))); err != nil {
		return fmt.Errorf("note what was fetched: %w", err)
	}
	return nil
}

// tipOf is the commit of the last fetch, if it is there.
func tipOf(s *filesystem.Storage) plumbing.Hash {
	ref, err := s.Reference(tip)
	if err != nil || s.HasEncodedObject(ref.Hash()) != nil {
		return plumbing.ZeroHash
	}
	return ref.Hash()
}

// removePartial removes packs that a killed or failed fetch did not finish.
func removePartial(dir string) error {
	partial, err := filepath.Glob(filepath.Join(dir, "objects", "pack", "tmp_*"))
	if err != nil {
		return fmt.Errorf("list clone: %w", err)
	}
	for _, file := range partial {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove unfinished pack: %w", err)
		}
	}
	return nil
}

func (*Clone) open(dir string) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(
		osfs.New(dir, osfs.WithBoundOS()),
		cache.NewObjectLRU(objectCache),
		filesystem.Options{KeepDescriptors: true, LargeObjectThreshold: largeObject},
	)
}
