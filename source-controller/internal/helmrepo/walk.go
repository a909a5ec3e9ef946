package helmrepo

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// visitor is told what a walk through an index comes upon.
type visitor interface {
	// begin: the versions of a chart come next.
	begin(chart string, line int) error
	// item: what is written about one version, or about all of them.
	item(item) error
	// end: the versions of the chart were there.
	end(place) error
	// cut: the file ended inside the entries, and inside a line if inLine is set.
	cut(inLine bool) error
}

// item is what an index says about a version.
type item struct {
	// raw is valid until the next one.
	raw   []byte
	style style
	line  int
	// tooLong is set when there was more of it.
	tooLong bool
	// wrong is why there is nothing to decode.
	wrong error
}

// errStyle: the style of the index is none of those that can be read in parts.
var errStyle = errors.New("unusual style")

// bom is what some put before UTF-8.
const bom = "\xef\xbb\xbf"

// walk goes through an index from its start.
func walk(file io.ReadSeeker, v visitor) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	in := newLines(file)
	if start, _ := in.r.Peek(len(bom)); string(start) == bom {
		in.skip(len(bom))
	}
	err := walkStart(in, v)
	if !errors.Is(err, errStyle) {
		return err
	}
	return walkWhole(file, v, err)
}

func walkStart(in *lines, v visitor) error {
	next, err := in.r.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it is empty", ErrIndex)
	case err != nil:
		return fmt.Errorf("read index: %w", err)
	case next[0] == '{':
		return walkJSON(in.r, in.offset, v)
	}
	return walkBlock(in, v)
}

// lines reads a file by lines, those that are long in pieces.
type lines struct {
	r      *bufio.Reader
	offset int64
	number int
	inside bool
}

// maxPiece bounds a piece of a line, in bytes.
const maxPiece = 64 << 10

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, maxPiece)} }

// piece is a line, or a part of a long one.
type piece struct {
	// raw has the line's end, if this is it. It is valid until the next one.
	raw    []byte
	offset int64
	line   int
	// starts is set when it begins a line, ends when it ends it.
	starts, ends bool
}

func (l *lines) next() (piece, error) {
	raw, err := l.r.ReadSlice('\n')
	if len(raw) == 0 && err != nil {
		if errors.Is(err, io.EOF) {
			return piece{}, io.EOF
		}
		return piece{}, fmt.Errorf("read index: %w", err)
	}
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
		return piece{}, fmt.Errorf("read index: %w", err)
	}
	if !l.inside {
		l.number++
	}
	p := piece{raw: raw, offset: l.offset, line: l.number, starts: !l.inside, ends: err == nil}
	l.inside = err != nil
	l.offset += int64(len(raw))
	return p, nil
}

func (l *lines) skip(n int) {
	n, _ = l.r.Discard(n) // what was peeked at is there
	l.offset += int64(n)
}

// kind is what a line is, without a look at others.
type kind byte

const (
	content kind = iota
	// filling: a blank line, or a comment.
	filling
	// dash: an entry of a list begins.
	dash
	// marker: a document begins or ends.
	marker
)

// look returns what a piece is that starts a line, how far it is indented, and what stands there.
func (p piece) look() (k kind, indent int, text []byte) {
	text = bytes.TrimRight(p.raw, "\r\n")
	indent = len(text) - len(bytes.TrimLeft(text, " "))
	text = text[indent:]
	switch {
	case len(bytes.TrimSpace(text)) == 0, text[0] == '#':
		return filling, indent, text
	case text[0] == '-' && (len(text) == 1 || text[1] == ' ' || text[1] == '\t'):
		return dash, indent, text
	case indent == 0 && (isMarker(text, "---") || isMarker(text, "...")):
		return marker, indent, text
	}
	return content, indent, text
}

func isMarker(text []byte, mark string) bool {
	rest, ok := bytes.CutPrefix(text, []byte(mark))
	return ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t')
}
