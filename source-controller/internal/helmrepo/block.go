package helmrepo

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// walkBlock goes through an index in YAML's block style. In it, whatever belongs to a key or to an entry of a list is indented
// further than that is, even the lines of text that spans several; only the dashes of a list may be right below their key. So
// the indentation tells where a chart and a version begin and end, and what is between can be decoded on its own.
func walkBlock(in *lines, v visitor) error {
	b := &block{v: v, top: -1}
	for {
		p, err := in.next()
		if errors.Is(err, io.EOF) {
			return b.finish(in.offset)
		}
		if err != nil {
			return err
		}
		if !p.starts {
			b.list.more(p)
			b.ended = p.ends
			continue
		}
		k, indent, text := p.look()
		if k != filling {
			b.ended = p.ends
		}
		done, err := b.line(p, k, indent, text)
		if err != nil {
			return err
		}
		if done {
			return b.finish(p.offset)
		}
	}
}

// block is where a walk through block style is.
type block struct {
	v visitor
	// top is the indentation of the document's keys, inner that of the charts' names; -1 until there is one.
	top, inner int
	// entries is set inside them, seen once they were there, versioned once the index has its version.
	entries, seen, versioned bool
	// ended is set when the last line that says anything has an end.
	ended bool
	// open is set inside a chart, whose versions begin at the offset.
	open   bool
	offset int64
	style  style
	list   list
}

// line takes the next line; done is set when the document is over.
func (b *block) line(p piece, k kind, indent int, text []byte) (done bool, err error) {
	switch {
	case k == filling:
		b.list.more(p)
		return false, nil
	case k == marker && b.top < 0:
		return false, unusual(p, len(bytes.TrimSpace(text)) > len("---") || text[0] == '.')
	case k == marker:
		return true, nil
	case b.top < 0 && text[0] == '%' && indent == 0:
		return false, nil
	case b.top < 0:
		b.top = indent
	}
	switch {
	case indent < b.top:
		return false, unusual(p, true)
	case indent == b.top && k == dash && !b.entries:
		return false, unusual(p, !b.versioned && !b.seen) // a list that another key has
	case indent == b.top && k != dash:
		return false, b.key(p, text)
	case b.entries:
		return false, b.inside(p, k, indent, text)
	}
	return false, nil
}

func unusual(p piece, is bool) error {
	if !is {
		return nil
	}
	return fmt.Errorf("%w in line %d", errStyle, p.line)
}

// key takes a key of the document.
func (b *block) key(p piece, text []byte) error {
	if err := b.close(p.offset); err != nil {
		return err
	}
	b.entries = false
	name, value, ok := splitKey(text)
	if !ok {
		return unusual(p, true)
	}
	switch name {
	case "apiVersion":
		var version string
		if err := decodeYAML(value, &version); err != nil || version == "" {
			return fmt.Errorf("%w: its apiVersion is empty", ErrIndex)
		}
		b.versioned = true
	case "entries":
		if b.seen {
			return fmt.Errorf("%w: it has entries twice", ErrIndex)
		}
		b.entries, b.seen, b.inner = true, true, -1
		var empty map[string]yaml.Node
		if len(value) > 0 && (decodeYAML(value, &empty) != nil || len(empty) > 0) {
			return unusual(p, true)
		}
	}
	return nil
}

// inside takes a line inside the entries.
func (b *block) inside(p piece, k kind, indent int, text []byte) error {
	if b.inner < 0 {
		if k == dash {
			return fmt.Errorf("%w: its entries are a list, not a mapping from charts to versions", ErrIndex)
		}
		b.inner = indent
	}
	switch {
	case indent < b.inner:
		return unusual(p, true)
	case indent > b.inner || k == dash:
		return b.version(p, k, indent)
	}
	if err := b.close(p.offset); err != nil {
		return err
	}
	name, value, ok := splitKey(text)
	if !ok {
		return unusual(p, true)
	}
	b.open, b.style, b.offset = true, blockStyle, p.offset+int64(len(p.raw))
	b.list = list{indent: -1, emit: b.emit}
	if err := b.v.begin(name, p.line); err != nil {
		return err
	}
	if len(value) > 0 || !p.ends {
		b.inline(p)
	}
	return nil
}

// inline takes the chart as one piece of text, from its name on.
func (b *block) inline(p piece) {
	b.style, b.offset = inlineStyle, p.offset
	b.list.begin(p)
}

func (b *block) version(p piece, k kind, indent int) error {
	switch {
	case !b.open:
		return unusual(p, true)
	case b.style != blockStyle:
		b.list.more(p)
		return nil
	case b.list.indent < 0 && k != dash:
		// A mapping, a text, or a list in brackets: whatever it is, it is decoded at once, as the value of its name.
		b.style, b.offset = valueStyle, p.offset
		b.list.begin(p)
		return nil
	}
	return b.list.line(p, k, indent)
}

func (b *block) emit(raw []byte, line int, tooLong bool) error {
	return b.v.item(item{raw: raw, style: b.style, line: line, tooLong: tooLong})
}

// close ends the chart that is open, before the offset.
func (b *block) close(at int64) error {
	if !b.open {
		return nil
	}
	b.open = false
	if err := b.list.close(); err != nil {
		return err
	}
	return b.v.end(place{b.style, b.offset, at - b.offset})
}

// finish ends the document.
func (b *block) finish(at int64) error {
	if err := b.close(at); err != nil {
		return err
	}
	switch {
	case b.top < 0:
		return fmt.Errorf("%w: it is empty", ErrIndex)
	case !b.versioned:
		return fmt.Errorf("%w: it has no apiVersion", ErrIndex)
	case b.entries:
		return b.v.cut(!b.ended)
	}
	return nil
}

// list takes the lines of a list in block style apart.
type list struct {
	// indent is that of the dashes; -1 until there is one.
	indent  int
	raw     []byte
	first   int
	open    bool
	tooLong bool
	emit    func(raw []byte, line int, tooLong bool) error
}

// line takes a line that says something.
func (l *list) line(p piece, k kind, indent int) error {
	if k == dash && (l.indent < 0 || indent == l.indent) {
		l.indent = indent
		if err := l.close(); err != nil {
			return err
		}
		l.begin(p)
		return nil
	}
	l.more(p)
	return nil
}

func (l *list) begin(p piece) {
	l.open, l.tooLong, l.first, l.raw = true, false, p.line, l.raw[:0]
	l.more(p)
}

// more takes what belongs to what is open.
func (l *list) more(p piece) {
	if !l.open {
		return
	}
	if len(l.raw)+len(p.raw) > maxEntry {
		l.tooLong = true
		return
	}
	l.raw = append(l.raw, p.raw...)
}

func (l *list) close() error {
	if !l.open {
		return nil
	}
	l.open = false
	return l.emit(l.raw, l.first, l.tooLong)
}

// splitKey splits a line into its key and the value behind it, without comments.
func splitKey(text []byte) (key string, value []byte, ok bool) {
	end := keyEnd(text)
	if end < 0 {
		return "", nil, false
	}
	if err := decodeYAML(text[:end], &key); err != nil {
		return "", nil, false
	}
	value = bytes.TrimSpace(text[end+1:])
	if len(value) > 0 && value[0] == '#' {
		value = nil
	}
	return key, value, true
}

// keyEnd is where the colon behind a key is; -1 if there is none, or the key is more than a word.
func keyEnd(text []byte) int {
	from := 0
	switch text[0] {
	case '"', '\'':
		end := bytes.IndexByte(text[1:], text[0])
		if end < 0 || bytes.IndexByte(text[:end+2], '\\') >= 0 {
			return -1
		}
		from = end + 2
	case '?', '[', ']', '{', '}', '&', '*', '!', '|', '>', '@', '`', '%', '#', ',':
		return -1
	}
	for i := from; i < len(text); i++ {
		if text[i] == ':' && (i+1 == len(text) || text[i+1] == ' ' || text[i+1] == '\t') {
			return i
		}
		if from > 0 {
			return -1 // something else follows the quotes
		}
	}
	return -1
}
