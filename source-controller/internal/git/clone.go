package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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
	// tip is where the references to what was fetched are: what the next fetch need not bring. Objects that share a clone follow
	// different branches.
	tip plumbing.ReferenceName = "refs/sluice/tips/"
)

// Clone is one bare clone on disk, which is its holder's alone until it is closed.
type Clone struct {
	dir string
	// objects is the open clone; nil until something is read. Opening reads the index of every pack.
	objects *filesystem.Storage
	// leave lets the next one at the clone; nil for a submodule's, which is its parent's.
	leave func()
	// modules are the clones of submodules that are open.
	modules []*Clone
}

// Close releases the clone, and lets the next one at it.
func (c *Clone) Close() error {
	err := c.shut()
	if c.leave != nil {
		c.leave()
		c.leave = nil
	}
	return err
}

// shut closes the clone's files; no [Snapshot] of it can be read any more. The clone can: it opens again.
func (c *Clone) shut() error {
	var err error
	for _, m := range c.modules {
		err = errors.Join(err, m.shut())
	}
	c.modules = nil
	if c.objects == nil {
		return err
	}
	if failed := c.objects.Close(); failed != nil {
		err = errors.Join(err, stored("close", failed))
	}
	c.objects = nil
	return err
}

// Has reports whether a commit is there; false if there is no clone at all.
func (c *Clone) Has(commit string) bool {
	_, err := readCommit(c.open(), commit)
	return err == nil
}

// Remove removes the clone, and those of its submodules; the next fetch starts from nothing.
func (c *Clone) Remove() error {
	found, err := filepath.Glob(c.dir + "-*")
	if err != nil {
		return stored("list", err)
	}
	for _, dir := range found {
		if err := os.RemoveAll(dir); err != nil {
			return stored("remove", err)
		}
	}
	return c.remove()
}

func (c *Clone) remove() error {
	closed := c.shut()
	if err := os.RemoveAll(c.dir); err != nil {
		return stored("remove", err)
	}
	return closed
}

// Fetch brings a target's commit, and of its history nothing if the server allows it. The session must have an
// advertisement. If it fails the clone is as it was, unless that was damaged: then it is gone.
func (c *Clone) Fetch(ctx context.Context, s *Session, t plan.Target) error {
	err := hasTarget(c.open(), t)
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrNoCommit) {
		if err := c.remove(); err != nil {
			return err
		}
	}
	if wants := s.wants(t); len(wants) > 0 {
		err := c.increment(ctx, s, wants, t)
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
	err = c.replace(ctx, s, wants, t, true)
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
func (c *Clone) increment(ctx context.Context, s *Session, wants []plumbing.Hash, t plan.Target) error {
	if !c.extendable() {
		return c.replace(ctx, s, wants, t, false)
	}
	err := fill(ctx, c.open(), c.dir, s, wants, t, false)
	if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNoCommit) || ctx.Err() != nil {
		return err
	}
	// The clone misses what the server was told it has, or the server sent what nobody asked for.
	if err := c.remove(); err != nil {
		return err
	}
	return c.replace(ctx, s, wants, t, false)
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
func (c *Clone) replace(ctx context.Context, s *Session, wants []plumbing.Hash, t plan.Target, history bool) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(c.dir), filepath.Base(c.dir)+newMark)
	if err != nil {
		return stored("create", err)
	}
	defer func() {
		if left := os.RemoveAll(dir); left != nil {
			err = errors.Join(err, stored("remove what was half fetched", left))
		}
	}()
	if err := fillNew(ctx, dir, s, wants, t, history); err != nil {
		return err
	}
	if err := c.remove(); err != nil {
		return err
	}
	if err := os.Rename(dir, c.dir); err != nil {
		return stored("rename", err)
	}
	return nil
}

func fillNew(ctx context.Context, dir string, s *Session, wants []plumbing.Hash, t plan.Target, history bool) (err error) {
	into := openStorage(dir)
	defer func() { err = errors.Join(err, into.Close()) }()
	if err := into.Init(); err != nil {
		return stored("create", err)
	}
	return fill(ctx, into, dir, s, wants, t, history)
}

// fill fetches into a storage, which lies in dir.
func fill(
	ctx context.Context, into *filesystem.Storage, dir string, s *Session, wants []plumbing.Hash, t plan.Target, history bool,
) error {
	if err := removePartial(dir); err != nil {
		return err
	}
	haves, err := tips(into)
	if err != nil {
		return err
	}
	if err := s.fetch(ctx, into, wants, haves, history); err != nil {
		return errors.Join(err, removePartial(dir))
	}
	if err := hasTarget(into, t); err != nil {
		return err
	}
	if err := into.SetReference(plumbing.NewHashReference(tip+plumbing.ReferenceName(t.Commit), plumbing.NewHash(t.Commit))); err != nil {
		return stored("note what was fetched", err)
	}
	return nil
}

// hasTarget reports whether a target's commit is there, and the annotated tag that it was found by: what [readCommit] says.
func hasTarget(s *filesystem.Storage, t plan.Target) error {
	if _, err := readCommit(s, t.Commit); err != nil {
		return err
	}
	if t.Object == "" || t.Object == t.Commit {
		return nil
	}
	if !has(s, plumbing.NewHash(t.Object)) {
		return fmt.Errorf("%w: there is no tag %s", ErrNoCommit, t.Object)
	}
	return nil
}

// has reports whether an object can be read. (HasEncodedObject of a storage with exclusive access finds nothing in packs.)
func has(s *filesystem.Storage, hash plumbing.Hash) bool {
	_, err := s.EncodedObject(plumbing.AnyObject, hash)
	return err == nil
}

// tips are the commits that were fetched since the clone was made, if they are there.
func tips(s *filesystem.Storage) ([]plumbing.Hash, error) {
	refs, err := s.IterReferences()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	defer refs.Close()
	var all []plumbing.Hash
	err = refs.ForEach(func(ref *plumbing.Reference) error {
		if strings.HasPrefix(ref.Name().String(), tip.String()) && has(s, ref.Hash()) {
			all = append(all, ref.Hash())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return all, nil
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
