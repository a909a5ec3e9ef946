package cosign

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-gitops/sluice/source-controller/internal/verify/registry"
)

// ErrUnsigned says that the artifact has no signature at all.
var ErrUnsigned = errors.New("the artifact has no cosign signature; sign it by its digest with cosign 2 or later")

// Artifact is what has to be signed.
type Artifact = registry.Artifact

// Trust is who is trusted. With Keys it is whoever has one of the keys, and nobody else.
type Trust struct {
	// Keys are public keys in PEM by the name of their file; see Keys.
	Keys map[string][]byte
	// Identities are whose certificates are trusted; one that fits is enough. Without any, everybody's are, as in Flux.
	Identities []Identity
	// TrustedRoot is a trusted_root.json of a Sigstore instance. Without it certificates are those of the public instance.
	TrustedRoot []byte
	// RootField is where the spec names a Secret with one, in messages; empty if it cannot.
	RootField string
	// Public is what the public instance trusts; nil refuses its certificates.
	Public *PublicRoot
}

// Identity is somebody in the words of an OpenID Connect issuer. Both are regular expressions, not anchored, as in Flux.
type Identity struct {
	Issuer, Subject string
}

// Verify looks for a signature of the artifact by somebody who is trusted. by is who that is: the name of a key, or the
// subject and the issuer of a certificate. The error says what is wrong and what to do; it quotes nothing of the registry but
// the verified identity of a signer who is not among those who are trusted.
func Verify(ctx context.Context, a Artifact, t Trust) (by string, err error) {
	judge, err := t.judge(ctx)
	if err != nil {
		return "", err
	}
	closest, seen := ErrUnsigned, 0
	for found, err := range (&reader{artifact: a, keyed: t.Keys != nil}).signatures(ctx) {
		if err != nil {
			return "", err
		}
		seen++
		by, doubt := found.judged(judge)
		if doubt == nil {
			return by, nil
		}
		closest = closer(closest, doubt)
	}
	if seen == 0 {
		return "", ErrUnsigned
	}
	return "", fmt.Errorf("%s: %w", count(seen), closest)
}

func count(signatures int) string {
	if signatures == 1 {
		return "the artifact's only signature is not trusted"
	}
	return fmt.Sprintf("none of the artifact's %d signatures is trusted", signatures)
}
