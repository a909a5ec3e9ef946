package bus

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Limits of what a bus takes, in bytes.
const (
	maxData    = 64 << 10
	maxHeaders = 8 << 10
	maxValue   = 512 << 10
	maxName    = 128
	maxSubject = 1024
)

// defaultWindow is Stream.Window when it is not set.
const defaultWindow = 2 * time.Minute

// ackWait is after how long a delivery comes again whose handler neither answers nor is known to be alive. That includes
// what the server was sending when it stopped: it counts as delivered, and nobody but the clock knows that it was not.
const ackWait = 10 * time.Second

// afterPanic is when a delivery comes again whose handler panicked.
const afterPanic = 30 * time.Second

// window in which ids are remembered: no longer than messages are kept.
func (s Stream) window() time.Duration {
	window := s.Window
	if window <= 0 {
		window = defaultWindow
	}
	if s.MaxAge > 0 {
		window = min(window, s.MaxAge)
	}
	return window
}

func checkStream(s Stream) error {
	if !legalName(s.Name, "_") {
		return fmt.Errorf("stream name %q is not made of letters, digits and '_'", s.Name)
	}
	if len(s.Subjects) == 0 {
		return fmt.Errorf("stream %s has no subjects", s.Name)
	}
	return nil
}

func checkConsumer(c Consumer) error {
	if err := checkStream(c.Stream); err != nil {
		return err
	}
	if !legalName(c.Name, "_-") {
		return fmt.Errorf("consumer name %q is not made of letters, digits, '-' and '_'", c.Name)
	}
	return nil
}

func checkMessage(stream Stream, m Message) error {
	if err := checkStream(stream); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if !legalSubject(m.Subject) {
		return fmt.Errorf("publish to %s: subject %.100q is not legal", stream.Name, m.Subject)
	}
	if !slices.ContainsFunc(stream.Subjects, func(pattern string) bool { return matches(pattern, m.Subject) }) {
		return fmt.Errorf("publish to %s: subject %s is not one of the stream's", stream.Name, m.Subject)
	}
	if len(m.Data) > maxData {
		return fmt.Errorf("publish to %s: %d bytes are more than %d", stream.Name, len(m.Data), maxData)
	}
	return checkHeaders(stream, m)
}

func checkHeaders(stream Stream, m Message) error {
	size := len(m.ID)
	if strings.ContainsAny(m.ID, "\r\n") {
		return fmt.Errorf("publish to %s: the id has a line break", stream.Name)
	}
	for key, value := range m.Header {
		size += len(key) + len(value) + len(": \r\n")
		if key == "" || strings.ContainsAny(key, ":\r\n ") || strings.ContainsAny(value, "\r\n") {
			return fmt.Errorf("publish to %s: header %.100q is not legal", stream.Name, key)
		}
	}
	if size > maxHeaders {
		return fmt.Errorf("publish to %s: headers of %d bytes are more than %d", stream.Name, size, maxHeaders)
	}
	return nil
}

func checkStore(name string) error {
	if !legalName(name, "_-") {
		return fmt.Errorf("store name %q is not made of letters, digits, '-' and '_'", name)
	}
	return nil
}

func checkKey(key string) error {
	if !legalName(key, "_-.") || strings.HasPrefix(key, ".") || strings.HasSuffix(key, ".") || strings.Contains(key, "..") {
		return fmt.Errorf("key %.100q is not made of letters, digits, '-', '_' and single dots inside", key)
	}
	return nil
}

func legalName(name, extra string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune(extra, rune(c)) {
			return false
		}
	}
	return true
}

// legalSubject says whether a message may be published on a subject: dotted tokens, none empty, no wildcards.
func legalSubject(subject string) bool {
	if subject == "" || len(subject) > maxSubject {
		return false
	}
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r == '*' || r == '>' || r == 0x7f }) {
			return false
		}
	}
	return true
}

// matches says whether a subject fits a pattern with NATS' wildcards: '*' is one token, a last '>' one or more.
func matches(pattern, subject string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range want {
		if token == ">" {
			return i == len(want)-1 && len(have) > i
		}
		if i >= len(have) || token != "*" && token != have[i] {
			return false
		}
	}
	return len(want) == len(have)
}

func cloneHeader(h map[string]string) map[string]string {
	if len(h) == 0 {
		return nil
	}
	return maps.Clone(h)
}
