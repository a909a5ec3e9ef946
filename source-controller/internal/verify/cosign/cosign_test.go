package cosign_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/verify/cosign"
)

const (
	workflow = "https://github.com/team/app/.github/workflows/release.yaml@refs/tags/v1.0.0"
	issuer   = "https://token.actions.githubusercontent.com"
)

// TestKeys: a signature by any of the keys is enough, however cosign wrote it.
func TestKeys(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for kind, key := range map[string]crypto.Signer{
		"ecdsa": newKey(), "rsa": must(rsa.GenerateKey(rand.Reader, 2048)), "ed25519": edwards,
	} {
		t.Run("cosign 2, "+kind, func(t *testing.T) {
			w := newWorld(t, true)
			w.attachLayer(w.artifact, layerWith(key, claim(w.artifact.Ref)))
			w.signedBy(public(key))
		})
	}
	for kind, algorithm := range map[string]protocommon.PublicKeyDetails{
		"ecdsa": protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, "ecdsa p384": protocommon.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384,
		"rsa": protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256, "ed25519": protocommon.PublicKeyDetails_PKIX_ED25519,
	} {
		for registry, referrers := range map[string]bool{"lists referrers": true, "lists none": false} {
			t.Run("cosign 3, "+kind+", the registry "+registry, func(t *testing.T) {
				w := newWorld(t, referrers)
				pair, key := keypair(algorithm)
				w.attach(w.artifact, bundleWith(pair, w.artifact.Ref.DigestStr()))
				w.signedBy(key)
			})
		}
	}
}

// signedBy asks with the key among others.
func (w *world) signedBy(key []byte) {
	w.t.Helper()
	by, err := cosign.Verify(w.t.Context(), w.artifact, cosign.Trust{Keys: map[string][]byte{
		"a.pub": public(newKey()), "release.pub": key, "z.pub": public(newKey()),
	}})
	if err != nil || by != "release.pub" {
		w.t.Fatalf("by %q: %v", by, err)
	}
}

// TestKeyless: a certificate of the Sigstore instance that is trusted, for an identity that is trusted.
func TestKeyless(t *testing.T) {
	now := time.Now()
	anybody := signer{subject: workflow, issuer: issuer}
	for name, c := range map[string]struct {
		reason string
		signer signer
		lists  lists
		wanted []cosign.Identity
	}{
		"exactly": {
			"the identity is as it is wanted", anybody, lists{},
			[]cosign.Identity{{Issuer: "^" + issuer + "$", Subject: "^" + workflow + "$"}},
		},
		"one of several": {
			"one identity that fits is enough", anybody, lists{},
			[]cosign.Identity{{Issuer: "example.com", Subject: ".*"}, {Issuer: "githubusercontent", Subject: "team/app"}},
		},
		"nobody in particular": {"without identities everybody is trusted, as in Flux", anybody, lists{}, nil},
		"the certificate has expired since": {
			"it was valid when the log took the signature", signer{subject: workflow, issuer: issuer, from: now.Add(-50 * time.Minute)},
			lists{}, nil,
		},
		"no log, a timestamp": {
			"an instance may have no log; then a timestamp authority says when",
			signer{subject: workflow, issuer: issuer, unlogged: true, unlisted: true, stamped: true},
			lists{noLog: true, noCertificateLog: true}, nil,
		},
		"a log and a timestamp": {"both agree", signer{subject: workflow, issuer: issuer, stamped: true}, lists{}, nil},
	} {
		for way, attach := range ways() {
			t.Run(name+", "+way, func(t *testing.T) {
				w, i := newWorld(t, true), newInstance(t)
				attach(w, i, c.signer)
				by, err := cosign.Verify(t.Context(), w.artifact, cosign.Trust{Identities: c.wanted, TrustedRoot: i.trustedRoot(c.lists)})
				if err != nil {
					t.Fatalf("%s: %v", c.reason, err)
				}
				if !strings.Contains(by, workflow) || !strings.Contains(by, issuer) {
					t.Errorf("%s: by %s", c.reason, by)
				}
			})
		}
	}
}

// ways is how a keyless signature is written.
func ways() map[string]func(*world, *instance, signer) {
	return map[string]func(*world, *instance, signer){
		"cosign 2": func(w *world, i *instance, s signer) { w.attachLayer(w.artifact, i.layer(s, claim(w.artifact.Ref))) },
		"cosign 3": func(w *world, i *instance, s signer) { w.attach(w.artifact, i.bundle(s, w.artifact.Ref.DigestStr())) },
	}
}
