package secret

import (
	"fmt"
	"strings"
)

// Padding names the keys of a Secret whose values have white space around them, as a line end that echo or an editor adds.
// It holds nothing of the values.
type Padding struct {
	keys []string
	// begins is set when one of them has some at its beginning.
	begins bool
}

// PaddingOf looks at some keys of a Secret.
func PaddingOf(data map[string][]byte, keys ...string) (p Padding) {
	for _, key := range keys {
		value := string(data[key])
		if value == strings.TrimSpace(value) {
			continue
		}
		p.keys = append(p.keys, key)
		p.begins = p.begins || value != strings.TrimLeft(value, " \t\r\n")
	}
	return p
}

// Hint is what to add to the message that credentials are refused; empty if they have no white space around them. field is
// what names the Secret.
func (p Padding) Hint(field string) string {
	if len(p.keys) == 0 {
		return ""
	}
	verb := "end"
	switch {
	case p.begins && len(p.keys) == 1:
		verb = "begins or ends"
	case p.begins:
		verb = "begin or end"
	case len(p.keys) == 1:
		verb = "ends"
	}
	return fmt.Sprintf("; %s in the Secret of %s %s with white space, such as the line end that echo adds: store the value without it",
		strings.Join(p.keys, " and "), field, verb)
}
