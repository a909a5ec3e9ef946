// Package pgp verifies detached OpenPGP signatures, as git makes them with gpg, with ProtonMail's go-crypto.
//
// What that library leaves to its callers is refused here: hashes and keys that can be forged, signatures in text mode, of
// which one fits several contents, and several signatures in one block, of which git says nothing either.
package pgp

import (
	"bufio"
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
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
	Begin = "-----BEGIN PGP SIGNATURE-----"
	end   = "-----END PGP SIGNATURE-----"
	// maxSignature bounds a signature, in bytes: one by a key of 8192 bits has two thousand.
	maxSignature = 64 << 10
	// maxBlocks bounds how many blocks of keys one text may have.
	maxBlocks = 256
	// minBits is how many bits a key of RSA or DSA has at least.
	minBits = 2048
)

// Keys are public keys.
type Keys struct {
	entities openpgp.EntityList
}

// Parse reads public keys: one armored block after the other, or the bytes of a keyring. It fails if there is no key.
func Parse(data []byte) (Keys, error) {
	if !bytes.Contains(data, []byte("-----BEGIN PGP")) {
		entities, err := openpgp.ReadKeyRing(bytes.NewReader(data))
		if err != nil || len(entities) == 0 {
			return Keys{}, errors.New("it is no public key of PGP, as gpg --armor --export writes it")
		}
		return Keys{entities}, nil
	}
	var keys Keys
	r := bufio.NewReader(bytes.NewReader(data))
	for range maxBlocks {
		block, err := armor.Decode(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Keys{}, errors.New("a block of it is damaged; write it with gpg --armor --export")
		}
		if block.Type != openpgp.PublicKeyType {
			return Keys{}, errors.New("it holds something else than public keys; write it with gpg --armor --export")
		}
		entities, err := openpgp.ReadKeyRing(block.Body)
		if err != nil {
			return Keys{}, errors.New("a block of it holds no public key that is read; write it with gpg --armor --export")
		}
		keys.entities = append(keys.entities, entities...)
	}
	if len(keys.entities) == 0 {
		return Keys{}, errors.New("it holds no public key")
	}
	return keys, nil
}

// Verify checks an armored signature of a content at a time, and returns the fingerprint of the primary key that it is by.
func (k Keys) Verify(signature string, content []byte, now time.Time) (fingerprint string, err error) {
	raw, made, err := parse(signature)
	if err != nil {
		return "", err
	}
	id := *made.IssuerKeyId
	keys := k.entities.KeysById(id)
	if len(keys) == 0 {
		return "", fmt.Errorf("%w: PGP key %016X", ErrUnknownKey, id)
	}
	if err := strong(made, keys); err != nil {
		return "", err
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	_, signer, err := openpgp.VerifyDetachedSignature(k.entities, bytes.NewReader(content), bytes.NewReader(raw), config)
	if err != nil {
		return "", explain(err, id)
	}
	return fmt.Sprintf("%X", signer.PrimaryKey.Fingerprint), nil
}

// parse reads the one signature in a block, which has nothing around it.
func parse(signature string) ([]byte, *packet.Signature, error) {
	signature = strings.TrimSpace(signature)
	switch {
	case len(signature) > maxSignature:
		return nil, nil, fmt.Errorf("%w: it has more than %d bytes", ErrMalformed, maxSignature)
	case !strings.HasPrefix(signature, Begin), !strings.HasSuffix(signature, end), strings.Count(signature, "-----BEGIN") != 1:
		return nil, nil, fmt.Errorf("%w: it is not one whole block of PGP", ErrMalformed)
	}
	block, err := armor.Decode(strings.NewReader(signature))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: its block is damaged", ErrMalformed)
	}
	raw, err := io.ReadAll(io.LimitReader(block.Body, maxSignature))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: its block is damaged", ErrMalformed)
	}
	packets := packet.NewReader(bytes.NewReader(raw))
	first, err := packets.Next()
	made, ok := first.(*packet.Signature)
	if err != nil || !ok || made.IssuerKeyId == nil {
		return nil, nil, fmt.Errorf("%w: its block holds no signature with the key that it is by", ErrMalformed)
	}
	if _, err := packets.Next(); !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("%w: its block holds more than one signature; sign with one key", ErrMalformed)
	}
	return raw, made, nil
}

// strong refuses what can be forged, and what does not say of which bytes it is.
func strong(made *packet.Signature, keys []openpgp.Key) error {
	switch made.Hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512:
	default:
		return fmt.Errorf("%w: the signature was made with a weak hash (%s); sign again, with SHA-256 or better", ErrKey, made.Hash)
	}
	if made.SigType != packet.SigTypeBinary {
		return fmt.Errorf("%w: it was made in text mode, which does not tell line ends apart; sign again as git does", ErrMalformed)
	}
	for _, key := range keys {
		switch key.PublicKey.PubKeyAlgo {
		case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly, packet.PubKeyAlgoDSA:
		default:
			continue
		}
		if bits, err := key.PublicKey.BitLength(); err != nil || bits < minBits {
			return fmt.Errorf("%w: PGP key %016X has less than %d bits; sign with another one", ErrKey, *made.IssuerKeyId, minBits)
		}
	}
	return nil
}

func explain(err error, id uint64) error {
	switch {
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return fmt.Errorf("%w: PGP key %016X has expired; extend it and put it into the Secret again, or sign with another one", ErrKey, id)
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return fmt.Errorf("%w: PGP key %016X is revoked; sign with another one", ErrKey, id)
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return fmt.Errorf("%w: the signature by PGP key %016X has expired, or is of a time to come; sign again", ErrKey, id)
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return fmt.Errorf("%w: PGP key %016X is not one that may sign", ErrUnknownKey, id)
	}
	return fmt.Errorf("%w: it was changed after PGP key %016X signed it, or that key did not sign it", ErrMismatch, id)
}
