// Package unpack writes what is in a tarball below a folder: regular files and folders, and nothing that would lie elsewhere.
//
// A tarball with a path that no honest one has (absolute, with "..", through a file) is refused as a whole.
// Links and devices are left out, as artifacts have none. Everything is bounded, while it is read.
package unpack

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Limits bound what is written.
type Limits struct {
	// Bytes is how much the files may have together; it also bounds what a tarball has around them.
	Bytes int64
	// Files is how many entries the tarball may have.
	Files int
}

// Errors that a caller tells apart.
var (
	// ErrTooLarge: the tarball is beyond the limits.
	ErrTooLarge = errors.New("too large")
	// ErrHostile: the tarball has a path that no honest one has.
	ErrHostile = errors.New("unsafe path")
	// ErrBroken: it is no tarball, or not a whole one.
	ErrBroken = errors.New("not a whole tarball")
)

const (
	dirMode  = 0o700
	fileMode = 0o600
	execMode = 0o700
	maxPath  = 4096
	maxDepth = 256
)

// TarGz unpacks a gzipped tarball.
func TarGz(ctx context.Context, r io.Reader, into *os.Root, l Limits) error {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return broken(err)
	}
	if err := Tar(ctx, zr, into, l); err != nil {
		return err
	}
	// The checksum comes last, after what fills up the tarball.
	if _, err := io.Copy(io.Discard, &bounded{r: zr, left: maxFilling}); err != nil {
		return broken(err)
	}
	return nil
}

// Tar unpacks a tarball.
func Tar(ctx context.Context, r io.Reader, into *os.Root, l Limits) error {
	// What lies around the files is less than two blocks for each, unless somebody wants it to be more.
	bounded := &bounded{r: r, left: l.Bytes + int64(l.Files)*blocks}
	u := unpacker{into: into, limits: l, left: l.Bytes}
	for tr := tar.NewReader(bounded); ; {
		header, err := tr.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return broken(err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if err := u.entry(header, tr); err != nil {
			return err
		}
	}
}

// maxFilling is what may follow the last file, in bytes.
const maxFilling = 1 << 20

// blocks is what is allowed around each file, in bytes: a header, padding, and a header for a long name.
const blocks = 4 << 10

type unpacker struct {
	into    *os.Root
	limits  Limits
	entries int
	left    int64
}

func (u *unpacker) entry(header *tar.Header, content io.Reader) error {
	if u.entries++; u.entries > u.limits.Files {
		return fmt.Errorf("%w: more than %d files and folders", ErrTooLarge, u.limits.Files)
	}
	name := path.Clean(header.Name)
	if name == "." {
		return nil
	}
	if err := check(header.Name, name); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return u.refused(name, u.into.MkdirAll(name, dirMode))
	case tar.TypeReg:
		return u.file(name, header, content)
	}
	return nil
}

func (u *unpacker) file(name string, header *tar.Header, content io.Reader) (err error) {
	if header.Size > u.left {
		return u.tooLarge()
	}
	if err := u.into.MkdirAll(path.Dir(name), dirMode); err != nil {
		return u.refused(name, err)
	}
	mode := fs.FileMode(fileMode)
	if header.Mode&0o111 != 0 {
		mode = execMode
	}
	f, err := u.into.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return u.refused(name, err)
	}
	defer func() { err = errors.Join(err, cause(f.Close())) }()
	n, err := io.Copy(writer{f}, io.LimitReader(content, u.left+1))
	if u.left -= n; u.left < 0 {
		return u.tooLarge()
	}
	var disk *writeError
	if errors.As(err, &disk) {
		return fmt.Errorf("write %s: %w", shown(name), disk.err)
	}
	if err != nil {
		return broken(err)
	}
	return nil
}

func (u *unpacker) tooLarge() error {
	return fmt.Errorf("%w: the files have more than %d bytes", ErrTooLarge, u.limits.Bytes)
}

// refused is what went wrong with a path: the disk, or a file where a folder should be.
func (u *unpacker) refused(name string, err error) error {
	if err == nil {
		return nil
	}
	if info, stat := u.into.Lstat(name); errors.Is(err, fs.ErrExist) || errors.Is(err, errNotDir) || stat == nil && info.IsDir() {
		return fmt.Errorf("%w: %s is a file and a folder", ErrHostile, shown(name))
	}
	return fmt.Errorf("write %s: %w", shown(name), cause(err))
}

// check refuses what could be written anywhere but below a target folder, on any system.
func check(written, name string) error {
	if len(written) > maxPath || path.IsAbs(written) || strings.ContainsAny(written, "\x00\\") {
		return fmt.Errorf("%w: %s", ErrHostile, shown(written))
	}
	parts := strings.Split(name, "/")
	if len(parts) > maxDepth {
		return fmt.Errorf("%w: %s is nested more than %d deep", ErrHostile, shown(written), maxDepth)
	}
	for _, part := range strings.Split(written, "/") {
		if part == ".." {
			return fmt.Errorf("%w: %s", ErrHostile, shown(written))
		}
	}
	return nil
}

func broken(err error) error {
	if errors.Is(err, ErrTooLarge) {
		return err
	}
	// Whoever reads the body says why it is cut off; the words of the decoders are for programmers.
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, tar.ErrHeader) {
		return ErrBroken
	}
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

// shown is a path as it may appear in a message: quoted, and not longer than a line.
func shown(p string) string {
	const limit = 120
	if len(p) > limit {
		p = p[:limit] + "…"
	}
	return fmt.Sprintf("%q", p)
}
