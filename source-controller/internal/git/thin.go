package git

import (
	"bufio"
	"compress/zlib"
	"context"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	billy "github.com/go-git/go-billy/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/hash"
)

const (
	// thinFile is how the file starts that a thin pack is received into; what starts with tmp_ is removed if it stays.
	thinFile = "tmp_thin_"
	// trailerSize is how long the checksum at a pack's end is.
	trailerSize = 20
)

// receiveThin stores a pack whose deltas may start from objects that the store has already, as a server makes it that is told
// what the store has: most of what follows from one commit to the next is like that. The pack is received into a file, and
// stored with those objects added at its end, because go-git and git alike keep no pack that depends on another.
func receiveThin(ctx context.Context, into objects, pack io.Reader, l Limits) (err error) {
	files := into.Filesystem()
	file, err := files.TempFile(files.Join("objects", "pack"), thinFile)
	if err != nil {
		return stored("create", err)
	}
	defer func() {
		if closed := errors.Join(file.Close(), files.Remove(file.Name())); err == nil && closed != nil {
			err = stored("remove what was received", closed)
		}
	}()
	bases, count, err := receiveFile(ctx, file, pack, l)
	if err != nil {
		return err
	}
	missing, err := held(into, bases)
	if err != nil {
		return err
	}
	w, err := into.PackfileWriter()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	found := complete(w, file, count, missing)
	closed := w.Close()
	switch {
	case found != nil:
		return found
	case closed != nil && len(bases) > 0:
		return fmt.Errorf("%w: what follows from them cannot be read", ErrCorrupt)
	}
	return closed
}

// receiveFile receives a pack into a file. It returns the objects that deltas in it start from, and how many objects it has.
func receiveFile(ctx context.Context, file billy.File, pack io.Reader, l Limits) (bases []plumbing.Hash, count uint32, err error) {
	var header [headerSize]byte
	if err := readHeader(pack, &header, l); err != nil {
		return nil, 0, err
	}
	out := bufio.NewWriter(file)
	through := &tee{r: headed(header, pack), w: out}
	seen := map[plumbing.Hash]bool{}
	found := inspect(ctx, through, l, func(base plumbing.Hash) {
		if !seen[base] {
			seen[base] = true
			bases = append(bases, base)
		}
	})
	switch {
	case through.err != nil:
		return nil, 0, through.err
	case found != nil:
		return nil, 0, found
	}
	if err := out.Flush(); err != nil {
		return nil, 0, stored("write what is fetched", err)
	}
	return bases, binary.BigEndian.Uint32(header[8:]), nil
}

// held are those of the bases that the store has. The others are in the pack itself, or else it cannot be read.
func held(into objects, bases []plumbing.Hash) ([]plumbing.EncodedObject, error) {
	var all []plumbing.EncodedObject
	for _, base := range bases {
		object, err := into.EncodedObject(plumbing.AnyObject, base)
		switch {
		case err == nil:
			all = append(all, object)
		case !errors.Is(err, plumbing.ErrObjectNotFound):
			return nil, fmt.Errorf("%w: object %s", ErrCorrupt, base)
		}
	}
	return all, nil
}

// complete writes the pack in a file with more objects at its end.
func complete(w io.Writer, file billy.File, count uint32, more []plumbing.EncodedObject) error {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return stored("read what was received", err)
	}
	if len(more) == 0 {
		_, err := io.Copy(w, io.NewSectionReader(file, 0, end))
		return err
	}
	sum := hash.New(crypto.SHA1)
	both := io.MultiWriter(w, sum)
	header := make([]byte, headerSize)
	if _, err := file.ReadAt(header, 0); err != nil {
		return stored("read what was received", err)
	}
	binary.BigEndian.PutUint32(header[8:], count+uint32(len(more)))
	if _, err := both.Write(header); err != nil {
		return err
	}
	if _, err := io.Copy(both, io.NewSectionReader(file, headerSize, end-headerSize-trailerSize)); err != nil {
		return err
	}
	for _, object := range more {
		if err := writeObject(both, object); err != nil {
			return err
		}
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}

// writeObject writes an object as a pack has it: its kind and size, and its content deflated.
func writeObject(w io.Writer, object plumbing.EncodedObject) error {
	size := uint64(object.Size())
	start := []byte{byte(object.Type())<<4 | byte(size&0x0f)}
	for size >>= 4; size > 0; size >>= 7 {
		start[len(start)-1] |= 0x80
		start = append(start, byte(size&0x7f))
	}
	if _, err := w.Write(slices.Clip(start)); err != nil {
		return err
	}
	content, err := object.Reader()
	if err != nil {
		return fmt.Errorf("%w: object %s", ErrCorrupt, object.Hash())
	}
	deflate := zlib.NewWriter(w)
	if n, err := io.Copy(deflate, content); err != nil || n != object.Size() {
		return errors.Join(fmt.Errorf("%w: object %s", ErrCorrupt, object.Hash()), content.Close())
	}
	return errors.Join(deflate.Close(), content.Close())
}
