package redact

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	mask          = "***"
	minValue      = 6         // bytes; a shorter value stands in too many innocent texts
	minLine       = 16        // bytes of one line of a longer value
	maxValues     = 1024      // values of one scrubber
	maxValueBytes = 256 << 10 // bytes of all of them
	// withheld is what a scrubber of too many values makes of every text.
	withheld = "(withheld: too many secret values to look for)"
)

// Scrubber removes known secret values from texts, in the forms in which they usually turn up: as they are, line by line,
// in base64 (at any offset inside a longer encoding), and escaped for URLs, JSON and Go. Nil removes nothing. It is
// immutable and safe for concurrent use.
type Scrubber struct {
	replacer *strings.Replacer
	full     bool
}

// NewScrubber returns a scrubber of the values. Those shorter than six bytes are not looked for. Of more than 1024
// values, or 256 KiB, none can be looked for in useful time: Scrub then withholds every text.
func NewScrubber(values ...[]byte) *Scrubber {
	total := 0
	for _, value := range values {
		total += len(value)
	}
	if len(values) > maxValues || total > maxValueBytes {
		return &Scrubber{full: true}
	}
	var forms []string
	for _, value := range values {
		forms = appendForms(forms, value)
	}
	slices.SortFunc(forms, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) // the longest wins where several begin
	})
	forms = slices.Compact(forms)
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range forms {
		pairs = append(pairs, form, mask)
	}
	return &Scrubber{replacer: strings.NewReplacer(pairs...)}
}

// Scrub returns text with every known value masked.
func (s *Scrubber) Scrub(text string) string {
	switch {
	case s == nil || text == "":
		return text
	case s.full:
		return withheld
	}
	return s.replacer.Replace(text)
}

// appendForms appends the forms of a value that are looked for.
func appendForms(forms []string, value []byte) []string {
	forms = appendEncodings(forms, value)
	if trimmed := bytes.TrimSpace(value); len(trimmed) < len(value) {
		forms = appendEncodings(forms, trimmed)
	}
	if !bytes.ContainsAny(value, "\r\n") {
		return forms
	}
	for line := range bytes.Lines(value) {
		if line = bytes.TrimSpace(line); len(line) >= minLine {
			forms = append(forms, string(line))
		}
	}
	return forms
}

func appendEncodings(forms []string, value []byte) []string {
	if len(value) < minValue {
		return forms
	}
	text := string(value)
	forms = append(forms, text, url.QueryEscape(text), url.PathEscape(text), trimQuotes(strconv.Quote(text)))
	if quoted, err := json.Marshal(text); err == nil {
		forms = append(forms, trimQuotes(string(quoted)))
	}
	for offset := range 3 {
		forms = append(forms,
			base64Inside(base64.RawStdEncoding, value, offset),
			base64Inside(base64.RawURLEncoding, value, offset))
	}
	return forms
}

func trimQuotes(s string) string { return s[1 : len(s)-1] }

// base64Inside returns the characters that value alone decides when offset bytes (modulo 3) stand before it in what is
// encoded.
func base64Inside(encoding *base64.Encoding, value []byte, offset int) string {
	encoded := encoding.EncodeToString(append(make([]byte, offset), value...))
	first := (offset*8 + 5) / 6
	last := (offset + len(value)) * 8 / 6
	return encoded[first:last]
}
