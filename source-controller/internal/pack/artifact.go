package pack

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Artifact is what is in an artifact, as a tree to pack: its tarball is read where it lies, as often as it takes, and is never
// unpacked. open opens it at its start. The content of an entry can be read until that of the next one is opened; files that are
// opened in their order are read in one go. Close must be called.
func Artifact(open func() (io.ReadCloser, error)) *Archive { return &Archive{open: open} }

// Archive is an artifact as a tree.
type Archive struct {
	open func() (io.ReadCloser, error)
	// now is where content is read from; nil before the first.
	now *tarball
}

// tarball is an artifact that is being read; next is the index of the entry that comes next.
type tarball struct {
	file   io.ReadCloser
	reader *tar.Reader
	next   int
}

// Walk implements [Tree].
func (a *Archive) Walk(ctx context.Context, visit func(Entry) error) error {
	t, err := a.start()
	if err != nil {
		return err
	}
	err = t.walk(ctx, a.content, visit)
	return errors.Join(err, t.file.Close())
}

// Close releases the artifact.
func (a *Archive) Close() error {
	if a.now == nil {
		return nil
	}
	err := a.now.file.Close()
	a.now = nil
	return err
}

func (a *Archive) start() (*tarball, error) {
	file, err := a.open()
	if err != nil {
		return nil, err
	}
	zr, err := gzip.NewReader(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read artifact: %w", err), file.Close())
	}
	return &tarball{file: file, reader: tar.NewReader(zr)}, nil
}

func (t *tarball) walk(ctx context.Context, content func(index int) (io.ReadCloser, int64, error), visit func(Entry) error) error {
	for {
		header, err := t.advance()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		entry, index := Entry{Path: strings.TrimSuffix(header.Name, "/")}, t.next-1
		switch {
		case header.Typeflag == tar.TypeDir:
			if entry.Kind = Dir; entry.Path == "." || entry.Path == "" {
				continue // the root, which some write
			}
		case header.Typeflag != tar.TypeReg:
			entry.Kind = Link
		default:
			if entry.Kind = Regular; header.Mode&0o111 != 0 {
				entry.Kind = Executable
			}
			entry.Open = func() (io.ReadCloser, int64, error) { return content(index) }
		}
		if err := visit(entry); err != nil {
			return err
		}
	}
}

func (t *tarball) advance() (*tar.Header, error) {
	header, err := t.reader.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read artifact: %w", err)
	}
	t.next++
	return header, err
}

// content reads an entry: further on from the last one, or from the start again.
func (a *Archive) content(index int) (io.ReadCloser, int64, error) {
	if a.now != nil && a.now.next > index {
		if err := a.Close(); err != nil {
			return nil, 0, err
		}
	}
	if a.now == nil {
		t, err := a.start()
		if err != nil {
			return nil, 0, err
		}
		a.now = t
	}
	for {
		header, err := a.now.advance()
		if err != nil {
			return nil, 0, fmt.Errorf("read artifact: it has become shorter: %w", io.ErrUnexpectedEOF)
		}
		if a.now.next > index {
			return io.NopCloser(a.now.reader), header.Size, nil
		}
	}
}
