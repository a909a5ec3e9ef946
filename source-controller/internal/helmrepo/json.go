package helmrepo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// walkJSON goes through an index in JSON, which begins at the offset of its file.
func walkJSON(r io.Reader, offset int64, v visitor) error {
	j := newJSONWalk(r, offset, v)
	err := j.document()
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it ends inside chart %q", ErrTruncated, shortened(j.chart))
	case errors.As(err, &syntax):
		return fmt.Errorf("%w: it starts like JSON, and is none", errStyle)
	case errors.Is(err, errGate):
		return fmt.Errorf("%w: what it says about one version of chart %q has more than %d bytes", ErrIndex, shortened(j.chart), maxEntry)
	}
	return err
}

type jsonWalk struct {
	dec   *json.Decoder
	gate  *gate
	base  int64
	v     visitor
	chart string

	seen, versioned bool
}

func newJSONWalk(r io.Reader, offset int64, v visitor) *jsonWalk {
	g := &gate{r: r}
	return &jsonWalk{dec: json.NewDecoder(g), gate: g, base: offset, v: v}
}

func (j *jsonWalk) document() error {
	if err := j.open('{'); err != nil {
		return err
	}
	for j.more() {
		key, err := j.key()
		if err != nil {
			return err
		}
		if err := j.value(key); err != nil {
			return err
		}
	}
	if err := j.close(); err != nil {
		return err
	}
	if !j.versioned {
		return fmt.Errorf("%w: it has no apiVersion", ErrIndex)
	}
	if _, err := j.dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its end", ErrIndex)
	}
	return nil
}

// value takes the value of a key of the document.
func (j *jsonWalk) value(key string) error {
	switch key {
	case "apiVersion":
		var version any
		if err := j.dec.Decode(&version); err != nil {
			return err
		}
		text, ok := version.(string)
		if j.versioned = ok && text != ""; !j.versioned {
			return fmt.Errorf("%w: its apiVersion is empty", ErrIndex)
		}
		return nil
	case "entries":
		if j.seen {
			return fmt.Errorf("%w: it has entries twice", ErrIndex)
		}
		j.seen = true
		return j.entries()
	}
	var ignored json.RawMessage
	return j.dec.Decode(&ignored)
}

func (j *jsonWalk) entries() error {
	t, err := j.dec.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("%w: its entries are not a mapping from charts to versions", ErrIndex)
	}
	for j.more() {
		if j.chart, err = j.key(); err != nil {
			return err
		}
		if err := j.v.begin(j.chart, 0); err != nil {
			return err
		}
		if err := j.versions(); err != nil {
			return err
		}
	}
	return j.close()
}

// versions takes the value of a chart.
func (j *jsonWalk) versions() error {
	j.more() // lets the next token be read
	t, err := j.dec.Token()
	if err != nil {
		return err
	}
	start := j.offset()
	switch t {
	case json.Delim('['):
	case nil:
		return j.v.end(place{style: jsonStyle})
	default:
		if err := errors.Join(j.rest(t), j.v.item(item{wrong: errNoList})); err != nil {
			return err
		}
		return j.v.end(place{style: jsonStyle})
	}
	if err := j.items(); err != nil {
		return err
	}
	return j.v.end(place{jsonStyle, start - 1, j.offset() - start + 1})
}

// items takes the rest of a list.
func (j *jsonWalk) items() error {
	var raw json.RawMessage
	for j.more() {
		raw = raw[:0]
		if err := j.dec.Decode(&raw); err != nil {
			return err
		}
		if err := j.v.item(item{raw: raw, style: jsonStyle}); err != nil {
			return err
		}
	}
	return j.close()
}

// rest passes over what is open after a token.
func (j *jsonWalk) rest(t json.Token) error {
	depth := 0
	for {
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		j.more()
		var err error
		if t, err = j.dec.Token(); err != nil {
			return err
		}
	}
}

// offset is where in the file what was read ends.
func (j *jsonWalk) offset() int64 { return j.base + j.dec.InputOffset() }

// more reports whether an object or a list goes on, and allows for the next value.
func (j *jsonWalk) more() bool {
	j.gate.open(j.dec.InputOffset())
	return j.dec.More()
}

func (j *jsonWalk) open(want json.Delim) error {
	j.gate.open(0)
	t, err := j.dec.Token()
	if err == nil && t != want {
		return fmt.Errorf("%w: it is no object", ErrIndex)
	}
	return err
}

func (j *jsonWalk) close() error {
	_, err := j.dec.Token()
	return err
}

func (j *jsonWalk) key() (string, error) {
	t, err := j.dec.Token()
	if err != nil {
		return "", err
	}
	key, _ := t.(string) // the decoder lets nothing else be a key
	return key, nil
}

// gate keeps the decoder, which holds a value as a whole, from one that is larger than any honest one.
type gate struct {
	r       io.Reader
	passed  int64
	allowed int64
}

var errGate = errors.New("a value is too large")

// open allows for one more value, from the offset on. The decoder reads ahead, no further than its largest value was long.
func (g *gate) open(offset int64) { g.allowed = offset + 4*maxEntry }

func (g *gate) Read(p []byte) (int, error) {
	left := g.allowed - g.passed
	if left <= 0 {
		return 0, errGate
	}
	n, err := g.r.Read(p[:min(int64(len(p)), left)])
	g.passed += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("read index: %w", err)
	}
	return n, err
}
