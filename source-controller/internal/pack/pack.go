// Package pack writes a tree of files as Flux's artifact: a gzipped tarball that depends on nothing but the content.
//
// Rules, from Flux's storage: owner 0 without names, no times, folders 0750, files 0600, executables 0700; symbolic
// links and submodules are left out; what .sourceignore files and spec.ignore exclude is left out. A tree whose paths
// could be written outside a target folder is refused as a whole.
package pack

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Kind is what an entry of a tree is.
type Kind int

// The kinds of entries.
const (
	Dir Kind = iota
	Regular
	Executable
	// Link is a symbolic link; it is never packed.
	Link
	// Submodule is a commit of another repository; it is packed as the empty folder that a checkout has.
	Submodule
)

// Entry is one entry of a tree.
type Entry struct {
	// Path from the root, with slashes.
	Path string
	Kind Kind
	// Open reads a file's content, of the given size in bytes.
	Open func() (content io.ReadCloser, size int64, err error)
}

// Tree is what is packed. Walk visits every entry, folders before what is in them, always in the same order, and stops
// at the first error, which it returns.
type Tree interface {
	Walk(ctx context.Context, visit func(Entry) error) error
}

// Limits bound an artifact.
type Limits struct {
	// Bytes is how much the files may have together, before compression.
	Bytes int64
	// Files is how many entries the tree may have, ignored ones included.
	Files int
}

// Options say what goes into an artifact.
type Options struct {
	// Ignore holds patterns in .gitignore's format that replace the default ones; nil for those.
	Ignore *string
	// Chosen is set when whoever made the tree has left out what is ignored: everything in it goes in.
	Chosen bool
	Limits Limits
}

// Errors that a caller tells apart.
var (
	// ErrHostile: the tree has a path that no honest tree has.
	ErrHostile = errors.New("unsafe path")
	// ErrTooLarge: the tree is beyond the limits.
	ErrTooLarge = errors.New("too large")
	// ErrNoFolder: something that was asked for is not in the tree.
	ErrNoFolder = errors.New("no such folder")
)

// Write packs a tree.
func Write(ctx context.Context, w io.Writer, tree Tree, o Options) error {
	entries, rules, err := readTree(ctx, tree, o)
	if err != nil {
		return err
	}
	zw := gzip.NewWriter(w)
	tw := tar.NewWriter(zw)
	p := packer{tar: tw, limits: o.Limits}
	for _, e := range entries {
		if rules.excluded(e.Path, e.Kind == Dir) {
			continue
		}
		if err := errors.Join(ctx.Err(), p.add(e)); err != nil {
			return err
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		return fmt.Errorf("finish tarball: %w", err)
	}
	return nil
}

type packer struct {
	tar    *tar.Writer
	limits Limits
	bytes  int64
}

func (p *packer) add(e Entry) error {
	switch e.Kind {
	case Link:
		return nil
	case Dir, Submodule:
		return p.header(e, tar.Header{Name: e.Path + "/", Typeflag: tar.TypeDir, Mode: 0o750})
	case Executable:
		return p.file(e, 0o700)
	case Regular:
	}
	return p.file(e, 0o600)
}

func (p *packer) file(e Entry, mode int64) (err error) {
	content, size, err := e.Open()
	if err != nil {
		return fmt.Errorf("pack %s: %w", shown(e.Path), err)
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	if p.bytes += size; p.bytes > p.limits.Bytes {
		return fmt.Errorf("%w: the files have more than %d bytes at %s; leave some out with spec.ignore, or raise --artifact-max-size",
			ErrTooLarge, p.limits.Bytes, shown(e.Path))
	}
	if err := p.header(e, tar.Header{Name: e.Path, Typeflag: tar.TypeReg, Mode: mode, Size: size}); err != nil {
		return err
	}
	if n, err := io.Copy(p.tar, content); err != nil {
		return fmt.Errorf("pack %s: %w", shown(e.Path), err)
	} else if n != size {
		return fmt.Errorf("pack %s: it has %d bytes instead of %d", shown(e.Path), n, size)
	}
	return nil
}

func (p *packer) header(e Entry, h tar.Header) error {
	if err := p.tar.WriteHeader(&h); err != nil {
		return fmt.Errorf("pack %s: %w", shown(e.Path), err)
	}
	return nil
}

func tooMany(l Limits) error {
	return fmt.Errorf("%w: the tree has more than %d entries; spec.ignore does not make it smaller: raise --artifact-max-files, or split it",
		ErrTooLarge, l.Files)
}

const (
	maxPath  = 4096
	maxDepth = 256
)

// checkPath refuses what could be written anywhere but below a target folder, or into a folder's .git, by whichever name a
// file system knows that.
func checkPath(p string) error {
	if p == "" || len(p) > maxPath || path.IsAbs(p) || strings.ContainsRune(p, 0) {
		return fmt.Errorf("%w: %s", ErrHostile, shown(p))
	}
	parts := strings.Split(p, "/")
	if len(parts) > maxDepth {
		return fmt.Errorf("%w: %s is nested more than %d deep", ErrHostile, shown(p), maxDepth)
	}
	for _, part := range parts {
		if part == "" || part == "." || part == ".." || strings.EqualFold(part, ".git") || strings.EqualFold(part, "git~1") {
			return fmt.Errorf("%w: %s", ErrHostile, shown(p))
		}
	}
	return nil
}

// shown is a path as it may appear in a message: quoted, and not longer than a line.
func shown(p string) string {
	const limit = 120
	if len(p) > limit {
		p = p[:limit] + "…"
	}
	return fmt.Sprintf("%q", p)
}
