package cosign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	sigs "github.com/sigstore/sigstore/pkg/signature"
)

// Keys picks the public keys out of a Secret's data: each value whose name ends in .pub. It is never nil without an error.
func Keys(data map[string][]byte) (map[string][]byte, error) {
	keys := maps.Clone(data)
	maps.DeleteFunc(keys, func(name string, _ []byte) bool { return !strings.HasSuffix(name, ".pub") })
	if len(keys) == 0 {
		return nil, errNoKeys
	}
	return keys, nil
}

var errNoKeys = errors.New("the Secret that spec.verify.secretRef names has no public key; put one into a key of it that ends " +
	"in .pub, such as cosign.pub")

// keys trusts whoever has one of some keys.
type keys []publicKey

type publicKey struct {
	name     string
	verifier *verify.Verifier
}

// parseKeys refuses all keys when one is broken: otherwise a typo in a Secret shows only when that key's owner signs.
func parseKeys(pems map[string][]byte) (keys, error) {
	if len(pems) == 0 {
		return nil, errNoKeys
	}
	var parsed keys
	for _, name := range slices.Sorted(maps.Keys(pems)) {
		schemes, err := parseKey(pems[name])
		if err != nil {
			return nil, fmt.Errorf("%s in the Secret that spec.verify.secretRef names is no public key (PEM with an ECDSA, RSA or "+
				"ed25519 key)", name)
		}
		for _, scheme := range schemes {
			key := root.NewExpiringKey(scheme, time.Time{}, time.Time{})
			material := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return key, nil })
			verifier, err := verify.NewVerifier(material, verify.WithNoObserverTimestamps())
			if err != nil {
				return nil, err
			}
			parsed = append(parsed, publicKey{name, verifier})
		}
	}
	return parsed, nil
}

// parseKey is what a key verifies with. cosign 2 hashes with SHA-256 for every key, cosign 3 as the key's size asks for.
func parseKey(pem []byte) ([]sigs.Verifier, error) {
	key, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	if err != nil {
		return nil, err
	}
	usual, err := sigs.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	if curve, ok := key.(*ecdsa.PublicKey); ok && curve.Curve != elliptic.P256() {
		larger, err := sigs.LoadDefaultVerifier(key)
		return []sigs.Verifier{usual, larger}, err
	}
	return []sigs.Verifier{usual}, nil
}

func (k keys) judge(s signature) (string, *doubt) {
	content, err := s.entity.VerificationContent()
	if err != nil {
		return "", unreadable()
	}
	if content.Certificate() != nil {
		return "", withCertificate()
	}
	for _, key := range k {
		if _, err := key.verifier.Verify(s.entity, verify.NewPolicy(s.artifact(), verify.WithKey())); err == nil {
			return key.name, nil
		}
	}
	return "", s.or(k.wrong())
}

// wrong says that none of the keys fits.
func (k keys) wrong() *doubt {
	var names []string
	for _, key := range k {
		if !slices.Contains(names, key.name) {
			names = append(names, key.name)
		}
	}
	return &doubt{5, fmt.Sprintf("none of the keys in the Secret that spec.verify.secretRef names made it (%s); put the signer's "+
		"public key there, or sign with one of them", strings.Join(names, ", "))}
}
