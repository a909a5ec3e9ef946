package cosign

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/testing/data"
)

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// strict judges by nothing that a fuzzer can have: whatever it finds, nobody is trusted.
func strict(t *testing.T) []judge {
	t.Helper()
	key, err := parseKeys(map[string][]byte{"a.pub": []byte(somebody)})
	if err != nil {
		t.Fatal(err)
	}
	return []judge{key, publicGood(t)}
}

// publicGood trusts everybody with a certificate of the public instance.
func publicGood(t *testing.T) *certificates {
	t.Helper()
	everybody, err := parseIdentities(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCertificates(data.TrustedRoot(t, "public-good.json"), everybody)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// somebody is a public key whose private half was thrown away.
const somebody = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwr
kBbmLSGtks4L3qX6yYY0zufBnhC8Ur/iy55GhWP/9A/bY2LhC30M9+RYtw==
-----END PUBLIC KEY-----
`

// TestPublicInstance: a bundle of the real world, by the public instance, which has a log of everything.
func TestPublicInstance(t *testing.T) {
	real := data.Bundle(t, "sigstore.js@2.0.0-provenance.sigstore.json")
	of, err := newDigest("sha512", "46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c")
	if err != nil {
		t.Fatal(err)
	}
	by, doubt := signature{entity: real, digest: of}.judged(publicGood(t))
	if doubt != nil || !strings.Contains(by, "sigstore/sigstore-js/.github/workflows/release.yml") {
		t.Errorf("by %s: %v", by, doubt)
	}
	of.sum[0]++
	if by, doubt := (signature{entity: real, digest: of}).judged(publicGood(t)); doubt == nil || doubt.near != ofAnother().near {
		t.Errorf("of another digest: by %q, %v", by, doubt)
	}
}

// FuzzLayer: whatever lies where cosign 2 keeps signatures is either a doubt or nothing.
func FuzzLayer(f *testing.F) {
	payload := `{"critical":{"image":{"docker-manifest-digest":"` + someDigest + `"},"type":"` + claimType + `"}}`
	for _, notes := range []map[string]string{
		{signatureNote: "YQ=="},
		{signatureNote: "YQ==", certificateNote: "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"},
		{signatureNote: "YQ==", logNote: `{"SignedEntryTimestamp":"YQ==","Payload":{"body":"e30=","integratedTime":1,"logIndex":1,"logID":"00"}}`},
		{signatureNote: "YQ==", timeNote: `{"SignedRFC3161Timestamp":"MAA="}`},
	} {
		seed, err := json.Marshal(notes)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(payload), seed)
	}
	var judges []judge
	f.Fuzz(func(t *testing.T, payload, encoded []byte) {
		notes := map[string]string{}
		if json.Unmarshal(encoded, &notes) != nil {
			return
		}
		if judges == nil {
			judges = strict(t)
		}
		for i, judge := range judges {
			if by, doubt := layered(payload, notes, someDigest, i == 0).judged(judge); doubt == nil {
				t.Fatalf("trusted, by %s", by)
			}
		}
	})
}

// FuzzBundle: whatever refers to an artifact as its bundle is either a doubt or nothing.
func FuzzBundle(f *testing.F) {
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"a"}},` +
		`"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"YQ=="}]}}`))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"MAA="},` +
		`"tlogEntries":[{"logIndex":"1","logId":{"keyId":"YQ=="},"kindVersion":{"kind":"dsse","version":"0.0.1"}}]},"dsseEnvelope":{}}`))
	of, err := newDigest("sha256", someDigest[len("sha256:"):])
	if err != nil {
		f.Fatal(err)
	}
	var judges []judge
	f.Fuzz(func(t *testing.T, data []byte) {
		if judges == nil {
			judges = strict(t)
		}
		for _, judge := range judges {
			if by, doubt := bundled(data, of).judged(judge); doubt == nil {
				t.Fatalf("trusted, by %s", by)
			}
		}
	})
}
