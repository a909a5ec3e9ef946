// Package sshsig verifies signatures that git makes with ssh-keygen, with hiddeco's sshsig.
//
// Beyond what that library checks, a signature has to be by a key and an algorithm that cannot be forged, and the options of
// a line of authorized keys which end its time are kept.
package sshsig

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// Errors that a caller tells apart. What wraps them is a message for the user.
var (
	// ErrUnknownKey: none of the keys made the signature.
	ErrUnknownKey = errors.New("the key is not trusted")
	// ErrMismatch: the signature is by one of the keys, and not of this content.
	ErrMismatch = errors.New("the signature does not fit the content")
	// ErrKey: the key may not sign any more, or not with this.
	ErrKey = errors.New("the key cannot be trusted")
	// ErrMalformed: it is no signature that is read.
	ErrMalformed = errors.New("the signature cannot be read")
)

const (
	// Begin is how a signature starts.
	Begin = "-----BEGIN SSH SIGNATURE-----"
	end   = "-----END SSH SIGNATURE-----"
	// namespace is what git signs for; a signature for something else is none of a commit.
	namespace = "git"
	// maxSignature bounds a signature, in bytes.
	maxSignature = 64 << 10
	// minBits is how many bits a key of RSA has at least.
	minBits = 2048
)

// Keys are public keys.
type Keys struct {
	keys []key
}

type key struct {
	public ssh.PublicKey
	// expires is when the key ends; zero for never.
	expires time.Time
}

// Parse reads public keys, one a line as in OpenSSH's authorized_keys. It fails at a line that is none, and if there is none.
func Parse(data []byte) (Keys, error) {
	var keys Keys
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		public, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return Keys{}, fmt.Errorf("line %d is no public key of SSH, such as ssh-ed25519 AAAA…", number)
		}
		expires, err := expiry(options)
		if err != nil {
			return Keys{}, fmt.Errorf("line %d: %w", number, err)
		}
		keys.keys = append(keys.keys, key{public, expires})
	}
	if len(keys.keys) == 0 {
		return Keys{}, errors.New("it holds no public key")
	}
	return keys, nil
}

// expiry reads the options of a line. One that makes the key an authority over other keys says that it does not sign itself.
func expiry(options []string) (time.Time, error) {
	var expires time.Time
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		switch strings.ToLower(name) {
		case "cert-authority":
			return expires, errors.New("cert-authority is not served: SSH certificates are not read; write the keys that sign")
		case "expiry-time", "valid-before":
			at, err := instant(strings.Trim(value, `"`))
			if err != nil {
				return expires, fmt.Errorf("%s is no time such as 20301231 or 20301231235959Z", name)
			}
			expires = at
		}
	}
	return expires, nil
}

// instant reads a time as OpenSSH writes it. Without a Z it is local to whoever wrote it, which nobody here knows: UTC.
func instant(value string) (time.Time, error) {
	value = strings.TrimSuffix(strings.ToUpper(value), "Z")
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(value) == len(layout) {
			return time.Parse(layout, value)
		}
	}
	return time.Time{}, errors.New("no time")
}

// Verify checks an armored signature of a content at a time, and returns the fingerprint of the key that it is by.
func (k Keys) Verify(signature string, content []byte, now time.Time) (fingerprint string, err error) {
	made, err := parse(signature)
	if err != nil {
		return "", err
	}
	fingerprint = ssh.FingerprintSHA256(made.PublicKey)
	for _, candidate := range k.keys {
		if !bytes.Equal(candidate.public.Marshal(), made.PublicKey.Marshal()) {
			continue
		}
		if !candidate.expires.IsZero() && !now.Before(candidate.expires) {
			return "", fmt.Errorf("%w: SSH key %s has expired; sign with another one", ErrKey, fingerprint)
		}
		if err := candidate.verify(made, content, fingerprint); err != nil {
			return "", err
		}
		return fingerprint, nil
	}
	return "", fmt.Errorf("%w: SSH key %s", ErrUnknownKey, fingerprint)
}

// parse reads the one signature in a block, which has nothing around it.
func parse(signature string) (*sshsig.Signature, error) {
	signature = strings.TrimSpace(signature)
	switch {
	case len(signature) > maxSignature:
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrMalformed, maxSignature)
	case !strings.HasPrefix(signature, Begin), !strings.HasSuffix(signature, end), strings.Count(signature, "-----BEGIN") != 1:
		return nil, fmt.Errorf("%w: it is not one whole block of SSH", ErrMalformed)
	}
	made, err := sshsig.Unarmor([]byte(signature))
	if err != nil {
		return nil, fmt.Errorf("%w: its block is damaged", ErrMalformed)
	}
	return made, nil
}

func (k key) verify(made *sshsig.Signature, content []byte, fingerprint string) error {
	if err := strong(made, fingerprint); err != nil {
		return err
	}
	err := sshsig.Verify(bytes.NewReader(content), made, k.public, made.HashAlgorithm, namespace)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sshsig.ErrNamespaceMismatch):
		return fmt.Errorf("%w: the signature by SSH key %s is for another purpose than git's; sign again with git", ErrKey, fingerprint)
	case errors.Is(err, sshsig.ErrUnsupportedHashAlgorithm), errors.Is(err, sshsig.ErrUnavailableHashAlgorithm):
		return fmt.Errorf("%w: the signature by SSH key %s has another hash than SHA-256 or SHA-512; sign again", ErrKey, fingerprint)
	}
	return fmt.Errorf("%w: it was changed after SSH key %s signed it, or that key did not sign it", ErrMismatch, fingerprint)
}

// strong refuses algorithms that can be forged: among them RSA over SHA-1, which the format allows for by its name alone.
func strong(made *sshsig.Signature, fingerprint string) error {
	switch made.Signature.Format {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return nil
	case ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512:
	default:
		return fmt.Errorf("%w: the signature by SSH key %s has a weak algorithm; sign with Ed25519, ECDSA, or RSA over SHA-2", ErrKey, fingerprint)
	}
	known, ok := made.PublicKey.(ssh.CryptoPublicKey)
	if !ok {
		return fmt.Errorf("%w: SSH key %s is of no kind that is known", ErrKey, fingerprint)
	}
	if public, ok := known.CryptoPublicKey().(*rsa.PublicKey); !ok || public.N.BitLen() < minBits {
		return fmt.Errorf("%w: SSH key %s has less than %d bits; sign with another one", ErrKey, fingerprint, minBits)
	}
	return nil
}
