package event

import (
	"errors"
	"fmt"
	"strings"
)

// SubjectPrefix starts the subject of every event; Stream is the stream that stores them.
const (
	SubjectPrefix = "sluice.events"
	Stream        = "SLUICE_EVENTS"
)

// Address is a subject taken apart, escapes resolved.
type Address struct {
	Controller, Kind, Namespace, Name, Reason string
}

const emptyToken = "%"

// Subject is where an event is published: sluice.events.<controller>.<Kind>.<namespace>.<name>.<reason>. Every part is
// one token: a byte other than a letter, a digit, '-' or '_' stands as %XX, and an empty part as a lone '%'.
func Subject(controller, kind, namespace, name, reason string) string {
	parts := []string{SubjectPrefix}
	for _, part := range []string{controller, kind, namespace, name, reason} {
		parts = append(parts, escape(part))
	}
	return strings.Join(parts, ".")
}

// ParseSubject is the inverse of [Subject]. What Subject would not have written is an error.
func ParseSubject(subject string) (Address, error) {
	rest, ok := strings.CutPrefix(subject, SubjectPrefix+".")
	if !ok {
		return Address{}, fmt.Errorf("event subject %q does not start with %s", subject, SubjectPrefix)
	}
	tokens := strings.Split(rest, ".")
	if len(tokens) != 5 {
		return Address{}, fmt.Errorf("event subject %q has %d parts after the prefix, want 5", subject, len(tokens))
	}
	for i, token := range tokens {
		part, err := unescape(token)
		if err != nil {
			return Address{}, fmt.Errorf("event subject %q: %w", subject, err)
		}
		tokens[i] = part
	}
	return Address{tokens[0], tokens[1], tokens[2], tokens[3], tokens[4]}, nil
}

func escape(s string) string {
	if s == "" {
		return emptyToken
	}
	var out strings.Builder
	for i := range len(s) {
		if plain(s[i]) {
			out.WriteByte(s[i])
			continue
		}
		fmt.Fprintf(&out, "%%%02X", s[i])
	}
	return out.String()
}

func unescape(token string) (string, error) {
	if token == emptyToken {
		return "", nil
	}
	if token == "" {
		return "", errors.New("an empty token")
	}
	var out strings.Builder
	for i := 0; i < len(token); i++ {
		switch c := token[i]; {
		case plain(c):
			out.WriteByte(c)
		case c == '%' && i+2 < len(token):
			hi, lo := unhex(token[i+1]), unhex(token[i+2])
			b := byte(hi<<4 | lo)
			if hi < 0 || lo < 0 || plain(b) {
				return "", fmt.Errorf("token %q: %q is not an escape that Subject writes", token, token[i:i+3])
			}
			out.WriteByte(b)
			i += 2
		default:
			return "", fmt.Errorf("token %q: unexpected %q", token, c)
		}
	}
	return out.String(), nil
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
