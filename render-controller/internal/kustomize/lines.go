package kustomize

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxAnchor is how far behind the start of a node its value is looked for: an anchor or a tag may stand before it.
const maxAnchor = 256

// lines is a text in which the values of nodes are replaced, in the order in which the parser meets them. Each line is put together
// once, since a file may be a single line of megabytes.
type lines struct {
	text []string
	// at is the line that is being put together, from 1 on: what is left of it, and what it is so far.
	at   int
	rest []rune
	done strings.Builder
	// column is where rest begins, from 1 on.
	column int
}

// replace puts text in the place of a scalar's value. It says whether it has found it where the parser has.
func (l *lines) replace(node *yaml.Node, text string) bool {
	if node.Line < max(1, l.at) || node.Line > len(l.text) {
		return false
	}
	if node.Line != l.at {
		l.flush()
		l.at, l.rest, l.column = node.Line, []rune(l.text[node.Line-1]), 1
	}
	start := node.Column - l.column
	if start < 0 || start >= len(l.rest) {
		return false
	}
	value := []rune(node.Value)
	for end := min(len(l.rest), start+maxAnchor+len(value)); start+len(value) <= end; start++ {
		if !slices.Equal(l.rest[start:start+len(value)], value) {
			continue
		}
		l.done.WriteString(string(l.rest[:start]))
		l.done.WriteString(text)
		l.rest, l.column = l.rest[start+len(value):], l.column+start+len(value)
		return true
	}
	return false
}

// flush puts the line that is being put together into its place.
func (l *lines) flush() {
	if l.at == 0 {
		return
	}
	l.done.WriteString(string(l.rest))
	l.text[l.at-1] = l.done.String()
	l.done.Reset()
	l.at, l.rest = 0, nil
}

// bytes is the whole text.
func (l *lines) bytes() []byte {
	l.flush()
	return []byte(strings.Join(l.text, ""))
}
