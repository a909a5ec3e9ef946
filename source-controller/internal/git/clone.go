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
	// maxStale is by how much the later fetches together may be larger than the largest before that happens sooner.
	maxStale = 64 << 20
	// objectCache is how much of a repository is kept in memory while it is read.
	objectCache = 16 * cache.MiByte
	// largeObject is from which size on a file is read from disk piece by piece.
	largeObject = 4 << 20
	// tip is the reference to what was fetched last: what the next fetch need not bring.
	tip plumbing.ReferenceName = "refs/sluice/tip"
)

// Clone is one bare clone on disk. It is for one goroutine at a time, and must be closed.
type Clone struct {
	dir string
	// objects is the open clone; nil until something is read. Opening reads the index of every pack.
	objects *filesystem.Storage
}

// Close releases the clone's files; no [Snapshot] of it can be read any more. The clone can: it opens again.
func (c *Clone) Close() error {
	if c.objects == nil {
		return nil
	}
	err := c.objects.Close()
	c.objects = nil
	if err != nil {
		return stored("close", err)
	}
	return nil
}

// Has reports whether a commit is there; false if there is no clone at all.
func (c *Clone) Has(commit string) bool {
	_, err := readCommit(c.open(), commit)
	return err == nil
}

// Remove removes the clone; the next fetch starts from nothing.
func (c *Clone) Remove() error {
	closed := c.Close()
	if err := os.RemoveAll(c.dir); err != nil {
		return stored("remove", err)
	}
	return closed
}

// Fetch brings a target's commit, and of its history nothing if the server allows it. The session must have an
// advertisement. If it fails the clone is as it was, unless that was damaged: then it is gone.
func (c *Clone) Fetch(ctx context.Context, s *Session, t plan.Target) error {
	_, err := readCommit(c.open(), t.Commit)
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrNoCommit) {
		if err := c.Remove(); err != nil {
			return err
		}
	}
	if wants := s.wants(t); len(wants) > 0 {
		err := c.increment(ctx, s, wants, t.Commit)
		switch {
		case errors.Is(err, ErrNoCommit) && t.Object != "":
			return fmt.Errorf("%w, and %s points at it: let it point at a commit, or correct spec.ref", err, t.Ref)
		case err == nil, t.Object != "", ctx.Err() != nil, errors.Is(err, ErrStorage), errors.Is(err, ErrTooLarge):
			return err
		case errors.Is(err, ErrRefused) && s.givesAnyCommit():
			return missing(t) // nor is it in the history, which may be long
		}
	}
	// The server does not give away single commits: look for it in the history.
	wants := s.everything(t)
	if len(wants) == 0 {
		return missing(t)
	}
	err = c.replace(ctx, s, wants, t.Commit, true)
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
	err := fill(ctx, c.open(), c.dir, s, wants, commit, false)
	if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNoCommit) || ctx.Err() != nil {
		return err
	}
	// The clone misses what the server was told it has, or the server sent what nobody asked for.
	if err := c.Remove(); err != nil {
		return err
	}
	return c.replace(ctx, s, wants, commit, false)
}

// extendable reports whether it is better to fetch into the clone than to fetch it afresh.
func (c *Clone) extendable() bool {
	packs, err := filepath.Glob(filepath.Join(c.dir, "objects", "pack", "*.pack"))
	if err != nil || len(packs) == 0 || len(packs) >= maxPacks {
		return false
	}
	var largest, all int64
	for _, pack := range packs {
		info, err := os.Stat(pack)
		if err != nil {
			return false
		}
		largest, all = max(largest, info.Size()), all+info.Size()
	}
	return all-largest <= largest+maxStale
}

// replace fetches into a new folder, which takes the clone's place when it is complete.
func (c *Clone) replace(ctx context.Context, s *Session, wants []plumbing.Hash, commit string, history bool) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(c.dir), filepath.Base(c.dir)+newMark)
	if err != nil {
		return stored("create", err)
	}
	defer func() {
		if left := os.RemoveAll(dir); left != nil {
			err = errors.Join(err, stored("remove what was half fetched", left))
		}
	}()
	if err := fillNew(ctx, dir, s, wants, commit, history); err != nil {
		return err
	}
	if err := c.Remove(); err != nil {
		return err
	}
	if err := os.Rename(dir, c.dir); err != nil {
		return stored("rename", err)
	}
	return nil
}

func fillNew(ctx context.Context, dir string, s *Session, wants []plumbing.Hash, commit string, history bool) (err error) {
	into := openStorage(dir)
	defer func() { err = errors.Join(err, into.Close()) }()
	if err := into.Init(); err != nil {
		return stored("create", err)
	}
	return fill(ctx, into, dir, s, wants, commit, history)
}

// fill fetches into a storage, which lies in dir.
func fill(
	ctx context.Context, into *filesystem.Storage, dir string, s *Session, wants []plumbing.Hash, commit string, history bool,
) error {
	if err := removePartial(dir); err != nil {
		return err
	}
	if err := s.fetch(ctx, into, wants, tipOf(into), history); err != nil {
		return errors.Join(err, removePartial(dir))
	}
	if _, err := readCommit(into, commit); err != nil {
		return err
	}
	if err := into.SetReference(plumbing.NewHashReference(tip, plumbing.NewHash(commit))); err != nil {
		return stored("note what was fetched", err)
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
		return stored("list", err)
	}
	for _, file := range partial {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return stored("remove unfinished pack", err)
		}
	}
	return nil
}

func (c *Clone) open() *filesystem.Storage {
	if c.objects == nil {
		c.objects = openStorage(c.dir)
	}
	return c.objects
}

// openStorage opens a clone that nobody else writes: of what is no loose object, no file is looked for.
func openStorage(dir string) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(
		osfs.New(dir, osfs.WithBoundOS()),
		cache.NewObjectLRU(objectCache),
		filesystem.Options{ExclusiveAccess: true, KeepDescriptors: true, LargeObjectThreshold: largeObject},
	)
}
