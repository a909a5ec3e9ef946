package rendering

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"filippo.io/age"
)

// MaxKeys is how many recipients a rendering is sealed to, and how many identities are tried, at most.
const MaxKeys = 8

// maxKeyText bounds the text that keys are parsed from, in bytes.
const maxKeyText = 16 << 10

// fingerprintLength is the length of a fingerprint in hex digits.
const fingerprintLength = 16

// GenerateIdentity makes a new age X25519 key pair: the secret identity line and the recipient to publish for it. It fails
// only when the system has no randomness.
func GenerateIdentity() (identity, recipient string, err error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", fmt.Errorf("generate age identity: %w", err)
	}
	return key.String(), key.Recipient().String(), nil
}

// ParseIdentities reads age X25519 identities, one per line, newest first, and returns them with their recipients.
// Empty lines and lines that start with '#' are passed over. No error repeats what a line holds.
func ParseIdentities(text string) (identities []age.Identity, recipients []string, err error) {
	err = eachKey(text, func(number int, line string) error {
		key, err := age.ParseX25519Identity(line)
		if err != nil {
			return fmt.Errorf("parse age identities: line %d is no AGE-SECRET-KEY-1 identity", number)
		}
		identities = append(identities, key)
		recipients = append(recipients, key.Recipient().String())
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return identities, recipients, nil
}

// ParseRecipients reads age X25519 recipients, one per line, and returns them with their text, for [Fingerprint]. Empty
// lines and lines that start with '#' are passed over.
func ParseRecipients(text string) (recipients []age.Recipient, lines []string, err error) {
	err = eachKey(text, func(number int, line string) error {
		key, err := age.ParseX25519Recipient(line)
		if err != nil {
			return fmt.Errorf("parse age recipients: line %d is no age1 recipient", number)
		}
		recipients = append(recipients, key)
		lines = append(lines, key.String())
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return recipients, lines, nil
}

// Fingerprint names a set of recipients, whatever their order: two renderings with the same fingerprint can be opened by
// the same identities.
func Fingerprint(recipients []string) string {
	sorted := slices.Sorted(slices.Values(recipients))
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(sorted), "\n")))
	return hex.EncodeToString(sum[:])[:fingerprintLength]
}

func eachKey(text string, parse func(number int, line string) error) error {
	if len(text) > maxKeyText {
		return fmt.Errorf("parse age keys: %d bytes are more than the %d that are read", len(text), maxKeyText)
	}
	keys := 0
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if keys++; keys > MaxKeys {
			return fmt.Errorf("parse age keys: more than %d keys", MaxKeys)
		}
		if err := parse(i+1, line); err != nil {
			return err
		}
	}
	if keys == 0 {
		return errors.New("parse age keys: there is none")
	}
	return nil
}
