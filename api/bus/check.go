package bus

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits of what a bus takes, in bytes. They are part of the contract: what one implementation takes, all take.
const (
	MaxData    = 64 << 10
	MaxHeaders = 8 << 10
	MaxValue   = 512 << 10
	maxName    = 128
	maxSubject = 1024
)

// defaultWindow is Stream.Window when it is not set.
const defaultWindow = 2 * time.Minute

// DeduplicationWindow is how long ids are remembered: no longer than messages are kept.
func (s Stream) DeduplicationWindow() time.Duration {
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

// CheckConsumer says what is wrong with the name of a consumer or with its stream.
func CheckConsumer(c Consumer) error {
	if err := checkStream(c.Stream); err != nil {
		return err
	}
	if !legalName(c.Name, "_-") {
		return fmt.Errorf("consumer name %q is not made of letters, digits, '-' and '_'", c.Name)
	}
	return nil
}

// CheckMessage says why a stream can never take a message: its subject, its headers or its size.
func CheckMessage(stream Stream, m Message) error {
	if err := checkStream(stream); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if !legalSubject(m.Subject) {
		return fmt.Errorf("publish to %s: subject %.100q is not legal", stream.Name, m.Subject)
	}
	if !slices.ContainsFunc(stream.Subjects, func(pattern string) bool { return Matches(pattern, m.Subject) }) {
		return fmt.Errorf("publish to %s: subject %s is not one of the stream's", stream.Name, m.Subject)
	}
	if len(m.Data) > MaxData {
		return fmt.Errorf("publish to %s: %d bytes are more than %d", stream.Name, len(m.Data), MaxData)
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
	if size > MaxHeaders {
		return fmt.Errorf("publish to %s: headers of %d bytes are more than %d", stream.Name, size, MaxHeaders)
	}
	return nil
}

// CheckStore says what is wrong with the name of a store.
func CheckStore(name string) error {
	if !legalName(name, "_-") {
		return fmt.Errorf("store name %q is not made of letters, digits, '-' and '_'", name)
	}
	return nil
}

// CheckKey says what is wrong with the key of a store.
func CheckKey(key string) error {
	if !legalName(key, "_-.") || strings.HasPrefix(key, ".") || strings.HasSuffix(key, ".") || strings.Contains(key, "..") {
		return fmt.Errorf("key %.100q is not made of letters, digits, '-', '_' and single dots inside", key)
	}
	return nil
}

// CheckEntry says what is wrong with what is to be put into a store.
func CheckEntry(key string, value []byte) error {
	if err := CheckKey(key); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	if len(value) > MaxValue {
		return fmt.Errorf("put %s: %d bytes are more than %d", key, len(value), MaxValue)
	}
	return nil
}

// CheckClient says what is wrong with the name of a client.
func CheckClient(name string) error {
	if !legalName(name, "_-") {
		return fmt.Errorf("client name %q is not made of letters, digits, '-' and '_'", name)
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

// Matches says whether a subject fits a pattern with NATS' wildcards: '*' is one token, a last '>' one or more.
func Matches(pattern, subject string) bool {
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
