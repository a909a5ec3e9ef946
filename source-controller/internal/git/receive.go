package git

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// headerSize is how long a pack's start is: the letters PACK, a version, and how many objects follow.
const headerSize = 12

// receive stores a pack, of which an index is made meanwhile. That makes room for as many objects as the header promises,
// and reads each into memory: what is too much must be found on the way in, because twelve bytes can promise more than
// there is memory, and a few megabytes can be gigabytes when they are unpacked. If it fails, what is left of the pack is
// a temporary file.
func receive(ctx context.Context, into objects, pack io.Reader, l Limits) error {
	var header [headerSize]byte
	if err := readHeader(pack, &header, l); err != nil {
		return err
	}
	w, err := into.PackfileWriter()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	through := &tee{r: headed(header, pack), w: w}
	found := inspect(ctx, through, l, func(plumbing.Hash) {})
	// Closing waits for the index; of a pack that was refused it says only that it is not whole.
	closed := w.Close()
	switch {
	case through.err != nil:
		return through.err
	case found != nil:
		return found
	}
	return closed
}

// readHeader reads the start of a pack, and refuses one that promises too much.
func readHeader(pack io.Reader, header *[headerSize]byte, l Limits) error {
	if _, err := io.ReadFull(pack, header[:]); err != nil {
		return fmt.Errorf("read header of pack: %w", err)
	}
	if count := int64(binary.BigEndian.Uint32(header[8:])); count > l.Objects {
		return fmt.Errorf("%w: the fetch has %d objects, and %d are taken", ErrTooLarge, count, l.Objects)
	}
	return nil
}

// headed is a pack again whose start was read.
func headed(header [headerSize]byte, pack io.Reader) io.Reader {
	return io.MultiReader(bytes.NewReader(header[:]), pack)
}

// tee writes what is read. Of what went wrong it keeps the cause, which not every reader of it passes on.
type tee struct {
	r   io.Reader
	w   io.Writer
	err error
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if _, failed := t.w.Write(p[:n]); failed != nil {
		err = failed
	}
	if err != nil && !errors.Is(err, io.EOF) {
		t.err = err
	}
	return n, err
}

// inspect reads a pack to its end, and fails at the first thing in it that is beyond the limits. base is told what deltas start
// from, of those that name it by its hash.
func inspect(ctx context.Context, pack io.Reader, l Limits, base func(plumbing.Hash)) error {
	scanner := packfile.NewScanner(pack)
	_, count, err := scanner.Header()
	if err != nil {
		return err
	}
	left := l.Content
	for range count {
		if err := ctx.Err(); err != nil {
			return err
		}
		size, err := inspectObject(scanner, l, base)
		if err != nil {
			return err
		}
		if left -= size; left < 0 {
			return fmt.Errorf("%w: the fetch has more than %d bytes when it is unpacked", ErrTooLarge, l.Content)
		}
	}
	if _, err := scanner.Checksum(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, pack)
	return err
}

// inspectObject reads the next object and returns how large it is when it is unpacked.
func inspectObject(scanner *packfile.Scanner, l Limits, base func(plumbing.Hash)) (int64, error) {
	header, err := scanner.NextObjectHeader()
	if err != nil {
		return 0, err
	}
	if header.Length > l.Object {
		return 0, tooLarge(l)
	}
	if header.Type == plumbing.REFDeltaObject {
		base(header.Reference)
	}
	var start prefix
	// The scanner itself refuses content that is longer than its header says.
	if _, _, err := scanner.NextObject(&start); err != nil {
		return 0, err
	}
	if !header.Type.IsDelta() {
		return header.Length, nil
	}
	size, ok := start.deltaSize()
	if !ok {
		return 0, errors.New("a delta has no size")
	}
	if size > uint64(l.Object) {
		return 0, tooLarge(l)
	}
	return header.Length + int64(size), nil
}

func tooLarge(l Limits) error {
	return fmt.Errorf("%w: a file or folder in the repository has more than %d bytes; remove it from the commit", ErrTooLarge, l.Object)
}

// prefix keeps the first bytes written to it: the two sizes that a delta starts with.
type prefix struct {
	bytes [2 * binary.MaxVarintLen64]byte
	n     int
}

func (p *prefix) Write(b []byte) (int, error) {
	p.n += copy(p.bytes[p.n:], b)
	return len(b), nil
}

// deltaSize is the size of what a delta makes, which follows the size of what it starts from.
func (p *prefix) deltaSize() (uint64, bool) {
	_, first := binary.Uvarint(p.bytes[:p.n])
	if first <= 0 {
		return 0, false
	}
	size, second := binary.Uvarint(p.bytes[first:p.n])
	return size, second > 0
}
