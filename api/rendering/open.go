package rendering

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
	"k8s.io/apimachinery/pkg/types"
)

const (
	maxHeader   = 4 << 10              // bytes of the header line
	maxEnvelope = 64 << 10             // bytes of age's own header: some hundred per recipient
	maxSealed   = MaxPlaintext + 4<<20 // bytes of the file: what does not compress, and age's overhead
	lineSlack   = 4 << 10              // bytes of a line beside the object in it
)

// Open reads what [Seal] wrote: it must be sealed to one of the identities, for this subject, and of this tag. Nothing is
// returned unless the file was read to its very end. The errors a caller may branch on are ErrFormat and its siblings.
func Open(r io.Reader, identities []age.Identity, subject types.UID, tag Tag) (Content, error) {
	if len(identities) == 0 || len(identities) > MaxKeys {
		return Content{}, fmt.Errorf("open rendering: %d identities, want 1 to %d", len(identities), MaxKeys)
	}
	in := &gate{r: r, left: maxEnvelope}
	c, err := open(in, identities, subject, tag, MaxPlaintext)
	switch {
	case err == nil:
		return c, nil
	case in.err != nil:
		return Content{}, fmt.Errorf("open rendering: %w", in.err)
	}
	return Content{}, fmt.Errorf("open rendering: %w", err)
}

func open(in *gate, identities []age.Identity, subject types.UID, tag Tag, maxPlaintext int) (Content, error) {
	opened, err := age.Decrypt(in, identities...)
	if err != nil {
		if noMatch := new(age.NoIdentityMatchError); errors.As(err, &noMatch) {
			return Content{}, ErrNoKey
		}
		return Content{}, fmt.Errorf("age header: %w", ErrFormat)
	}
	in.left = maxSealed
	unpacked, err := zstd.NewReader(opened, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(MaxPlaintext))
	if err != nil {
		return Content{}, fmt.Errorf("decompress: %w", ErrFormat)
	}
	defer unpacked.Close()
	c, err := readLines(unpacked, subject, tag, maxPlaintext)
	if err != nil {
		return Content{}, err
	}
	// zstd takes a stream that is cut between its frames for a whole one; age knows better.
	if n, err := opened.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return Content{}, fmt.Errorf("the file is cut short or goes on after its end: %w", ErrFormat)
	}
	return c, nil
}

// readLines reads the plaintext of the format, of at most limit bytes.
func readLines(r io.Reader, subject types.UID, tag Tag, limit int) (Content, error) {
	in := &lineReader{r: bufio.NewReaderSize(r, 64<<10), limit: limit, left: limit}
	header, err := readHeader(in, subject, tag)
	if err != nil {
		return Content{}, err
	}
	var c Content
	for len(c.Objects) < header.Objects {
		l, err := readLine(in, len(c.Objects) == 0 && c.Release == nil)
		if err != nil {
			return Content{}, fmt.Errorf("object %d of %d: %w", len(c.Objects)+1, header.Objects, err)
		}
		if l.Release != nil {
			c.Release = l.Release
			continue
		}
		object, err := decodeObject(l)
		if err != nil {
			return Content{}, fmt.Errorf("object %d of %d: %w", len(c.Objects)+1, header.Objects, err)
		}
		c.Objects = append(c.Objects, object)
	}
	if header.Objects == 0 {
		if c.Release, err = readLoneRelease(in); err != nil {
			return Content{}, err
		}
	}
	return c, in.end()
}

func readHeader(in *lineReader, subject types.UID, tag Tag) (Header, error) {
	var header Header
	data, err := in.next(maxHeader)
	if err != nil {
		return header, fmt.Errorf("header: %w", err)
	}
	if err := strict(data, &header); err != nil {
		return header, fmt.Errorf("header: %w", err)
	}
	switch {
	case header.Format != Format:
		return header, fmt.Errorf("format %d, this version reads %d: %w", header.Format, Format, ErrFormat)
	case header.Subject != subject:
		return header, ErrWrongSubject
	case header.Tag != tag:
		return header, ErrWrongTag
	case header.Objects < 0:
		return header, fmt.Errorf("a negative number of objects: %w", ErrFormat)
	case header.Objects > MaxObjects:
		return header, fmt.Errorf("%d objects are more than %d: %w", header.Objects, MaxObjects, ErrLimit)
	}
	return header, nil
}
