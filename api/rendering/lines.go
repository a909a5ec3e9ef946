package rendering

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// readLine reads a line after the header. Only the first of them may be the release.
func readLine(in *lineReader, first bool) (line, error) {
	limit := MaxObject + lineSlack
	if first {
		limit = MaxRelease
	}
	data, err := in.next(limit)
	if err != nil {
		return line{}, err
	}
	var l line
	if err := strict(data, &l); err != nil {
		return line{}, err
	}
	isRelease := l.Release != nil
	if isRelease == (l.Object != nil) || isRelease && (!first || l.Phase != "" || l.Tainted) {
		return line{}, fmt.Errorf("neither an object nor a release in its place: %w", ErrFormat)
	}
	return l, nil
}

// readLoneRelease reads the release of a content without objects, if there is one.
func readLoneRelease(in *lineReader) (json.RawMessage, error) {
	if in.end() == nil {
		return nil, nil
	}
	l, err := readLine(in, true)
	if err != nil {
		return nil, fmt.Errorf("release: %w", err)
	}
	if l.Release == nil {
		return nil, fmt.Errorf("more objects than the header says: %w", ErrFormat)
	}
	return l.Release, nil
}

func decodeObject(l line) (Object, error) {
	if len(l.Object) > MaxObject {
		return Object{}, fmt.Errorf("%d bytes are more than %d: %w", len(l.Object), MaxObject, ErrLimit)
	}
	var fields map[string]any
	if err := utiljson.Unmarshal(l.Object, &fields); err != nil {
		return Object{}, fmt.Errorf("not a JSON object: %w", ErrFormat)
	}
	object := &unstructured.Unstructured{Object: fields}
	if fields == nil || object.GetAPIVersion() == "" || object.GetKind() == "" {
		return Object{}, fmt.Errorf("apiVersion and kind are required: %w", ErrFormat)
	}
	return Object{Tainted: l.Tainted, Phase: l.Phase, Object: object}, nil
}

// strict decodes one line. Its error does not repeat what the line holds, as encoding/json's may.
func strict(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("not the JSON it should be: %w", ErrFormat)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("more than one value in a line: %w", ErrFormat)
	}
	return nil
}

// lineReader reads lines within a budget of bytes.
type lineReader struct {
	r           *bufio.Reader
	limit, left int
}

// next returns the next line without its end. What it returns is the caller's.
func (l *lineReader) next(limit int) ([]byte, error) {
	var out []byte
	for {
		part, err := l.r.ReadSlice('\n')
		if l.left -= len(part); l.left < 0 || len(out)+len(part) > limit+1 {
			return nil, fmt.Errorf("a line of more than %d bytes, or more than %d in all: %w", limit, l.limit, ErrLimit)
		}
		out = append(out, part...)
		switch {
		case err == nil:
			return out[:len(out)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		default:
			return nil, fmt.Errorf("the lines end too early: %w", ErrFormat)
		}
	}
}

// end says whether all was read.
func (l *lineReader) end() error {
	if _, err := l.r.Peek(1); err != io.EOF {
		return fmt.Errorf("something follows the last object: %w", ErrFormat)
	}
	return nil
}

// gate lets a limited number of bytes through, and remembers why its reader failed.
type gate struct {
	r    io.Reader
	left int
	err  error
}

func (g *gate) Read(p []byte) (int, error) {
	if g.left <= 0 {
		g.err = fmt.Errorf("the file: %w", ErrLimit)
		return 0, g.err
	}
	n, err := g.r.Read(p[:min(len(p), g.left)])
	g.left -= n
	if err != nil && err != io.EOF {
		g.err = err
	}
	return n, err
}
