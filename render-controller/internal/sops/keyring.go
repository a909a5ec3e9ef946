package sops

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// KeySuffix ends the keys of a Secret that hold age identities, as Flux has it.
const KeySuffix = ".agekey"

// maxIdentities bounds how many age keys a Secret may have.
const maxIdentities = 64

// Keyring holds the age keys of one subject. It is not changed once made, and safe for concurrent use.
type Keyring struct {
	// secret is namespace/name, for messages.
	secret     string
	identities []age.Identity
	// foreign lists the keys of the Secret that are of a kind that is not served.
	foreign []string
}

// NewKeyring reads the age keys in the data of the Secret of that name (namespace/name). No error repeats a key.
func NewKeyring(secret string, data map[string][]byte) (*Keyring, error) {
	ring := &Keyring{secret: secret}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if !strings.HasSuffix(name, KeySuffix) {
			if strings.HasSuffix(name, ".asc") || strings.HasPrefix(name, "sops.") {
				ring.foreign = append(ring.foreign, name)
			}
			continue
		}
		identities, err := age.ParseIdentities(bytes.NewReader(data[name]))
		if err != nil {
			return nil, fmt.Errorf("key %q of Secret %s does not hold an age identity (AGE-SECRET-KEY-1…)", name, secret)
		}
		ring.identities = append(ring.identities, identities...)
	}
	if len(ring.identities) > maxIdentities {
		return nil, fmt.Errorf("the Secret %s holds %d age keys, more than the %d that are tried", secret, len(ring.identities), maxIdentities)
	}
	return ring, nil
}

// Unwrap decrypts a data key with the subject's own keys. The error says what is missing, for the user.
func (k *Keyring) Unwrap(wrapped WrappedKey) ([]byte, error) {
	if k == nil {
		return nil, errors.New("spec.decryption names no Secret: set spec.decryption.secretRef")
	}
	if len(k.identities) == 0 {
		also := ""
		if len(k.foreign) > 0 {
			also = fmt.Sprintf(" (%s: PGP and cloud keys are not served)", strings.Join(k.foreign, ", "))
		}
		return nil, fmt.Errorf("the Secret %s has no age key%s: put one into it under a name that ends with %s", k.secret, also, KeySuffix)
	}
	if len(wrapped.Ciphertext) > maxWrapped {
		return nil, errors.New("the data key in the file is too long to be one")
	}
	plain, err := age.Decrypt(armor.NewReader(bytes.NewReader(wrapped.Ciphertext)), k.identities...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, fmt.Errorf("none of the %d age keys in Secret %s fits", len(k.identities), k.secret)
	}
	if err != nil {
		return nil, errors.New("the data key in the file is damaged")
	}
	key, err := io.ReadAll(io.LimitReader(plain, maxWrapped))
	if err != nil {
		return nil, errors.New("the data key in the file is damaged")
	}
	return key, nil
}
