// Package verify checks who signed something in Git. The keys are a Secret's, with Flux's names for them; whether a signature
// is one of PGP or of SSH is told from itself. What has no signature, one that is not read, or one by nobody who is trusted
// is refused: there is no way through but a signature that fits.
package verify

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/verify/pgp"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/sshsig"
)

// sshSuffix is how the keys of a Secret end that hold SSH keys; every other one holds PGP keys, by convention in *.asc.
const sshSuffix = ".sshpub"

// Keys are the public keys of a Secret.
type Keys struct {
	pgp []pgp.Keys
	ssh []sshsig.Keys
	// broken says which entries of the Secret cannot be used, and why.
	broken []string
}

// Parse reads the keys of a Secret. An entry that cannot be used is none that counts; it fails when no entry does. The error
// names entries, never what is in them.
func Parse(data map[string][]byte) (Keys, error) {
	var k Keys
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if err := k.add(name, data[name]); err != nil {
			k.broken = append(k.broken, fmt.Sprintf("%s: %v", name, err))
		}
	}
	switch {
	case len(data) == 0:
		return k, errors.New("it is empty; put public keys into it, those of PGP as *.asc, those of SSH as *.sshpub")
	case len(k.pgp) == 0 && len(k.ssh) == 0:
		return k, errors.New(strings.Join(k.broken, "; "))
	}
	return k, nil
}

func (k *Keys) add(name string, data []byte) error {
	if strings.HasSuffix(name, sshSuffix) {
		keys, err := sshsig.Parse(data)
		if err == nil {
			k.ssh = append(k.ssh, keys)
		}
		return err
	}
	keys, err := pgp.Parse(data)
	if err == nil {
		k.pgp = append(k.pgp, keys)
	}
	return err
}

// Verify checks a signature of a content at a time, and returns the fingerprint of the key that it is by. The error says why
// it does not count.
func (k Keys) Verify(signature string, content []byte, now time.Time) (fingerprint string, err error) {
	start := strings.TrimSpace(signature)
	switch {
	case strings.HasPrefix(start, pgp.Begin):
		fingerprint, err = first(k.pgp, pgp.ErrUnknownKey, func(keys pgp.Keys) (string, error) { return keys.Verify(signature, content, now) })
		return fingerprint, k.hint(err, pgp.ErrUnknownKey, "PGP", "*.asc")
	case strings.HasPrefix(start, sshsig.Begin):
		fingerprint, err = first(k.ssh, sshsig.ErrUnknownKey, func(keys sshsig.Keys) (string, error) { return keys.Verify(signature, content, now) })
		return fingerprint, k.hint(err, sshsig.ErrUnknownKey, "SSH", "*"+sshSuffix)
	}
	return "", errors.New("the signature is neither one of PGP nor one of SSH; sign with one of them")
}

// first is what the first of the entries says that knows the key; unknown if none does.
func first[K any](entries []K, unknown error, verify func(K) (string, error)) (fingerprint string, err error) {
	if err = unknown; len(entries) > 0 {
		for _, keys := range entries {
			if fingerprint, err = verify(keys); !errors.Is(err, unknown) {
				return fingerprint, err
			}
		}
	}
	return "", err
}

// hint says what to do about a key that is not known, and which entries could have held it.
func (k Keys) hint(err, unknown error, kind, entry string) error {
	if !errors.Is(err, unknown) {
		return err
	}
	text := fmt.Sprintf("; sign with a key that is, or add its public key as %s", entry)
	if kind == "PGP" && len(k.pgp) == 0 || kind == "SSH" && len(k.ssh) == 0 {
		text = fmt.Sprintf(": it is one of %s, and the Secret has no public key of that kind; add it as %s", kind, entry)
	}
	if len(k.broken) > 0 {
		text += " (not usable: " + strings.Join(k.broken, "; ") + ")"
	}
	return fmt.Errorf("%w%s", err, text)
}
