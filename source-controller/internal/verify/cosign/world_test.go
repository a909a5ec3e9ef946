package cosign_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	fakes "github.com/google/go-containerregistry/pkg/registry"
	ggcrmutate "github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	cosignbundle "github.com/sigstore/cosign/v3/pkg/cosign/bundle"
	cosignoci "github.com/sigstore/cosign/v3/pkg/oci"
	"github.com/sigstore/cosign/v3/pkg/oci/mutate"
	ociremote "github.com/sigstore/cosign/v3/pkg/oci/remote"
	"github.com/sigstore/cosign/v3/pkg/oci/static"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
	sigs "github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/payload"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sluice-gitops/sluice/source-controller/internal/verify/cosign"
)

// world is a registry with an artifact in it.
type world struct {
	t        *testing.T
	server   *httptest.Server
	artifact cosign.Artifact

	mu       sync.Mutex
	requests []string
	broken   func(w http.ResponseWriter, r *http.Request) bool
}

// newWorld is a registry that lists what refers to an artifact, or one of before that existed.
func newWorld(t *testing.T, referrers bool) *world {
	t.Helper()
	w := &world{t: t}
	handler := fakes.New(fakes.WithReferrersSupport(referrers), fakes.Logger(log.New(io.Discard, "", 0)))
	w.server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		w.mu.Lock()
		w.requests = append(w.requests, in.Method+" "+in.URL.Path)
		broken := w.broken
		w.mu.Unlock()
		if broken != nil && broken(out, in) {
			return
		}
		handler.ServeHTTP(out, in)
	}))
	t.Cleanup(w.server.Close)
	w.artifact = w.push()
	return w
}

// breaks answers in the registry's place when it returns true.
func (w *world) breaks(with func(w http.ResponseWriter, r *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = with
}

// asked is what was asked for since the last call.
func (w *world) asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	since := w.requests
	w.requests = nil
	return since
}

// push stores an artifact.
func (w *world) push() cosign.Artifact {
	repo := must(name.NewRepository(strings.TrimPrefix(w.server.URL, "http://") + "/team/app"))
	image := must(random.Image(64, 1))
	ref := repo.Digest(must(image.Digest()).String())
	if err := remote.Write(ref, image); err != nil {
		w.t.Fatal(err)
	}
	return cosign.Artifact{Ref: ref, Transport: http.DefaultTransport}
}

func marshal(b *protobundle.Bundle) []byte { return must(protojson.Marshal(b)) }

// attach stores a bundle the way cosign 3 does.
func (w *world) attach(to cosign.Artifact, bundle []byte) {
	if err := ociremote.WriteAttestationNewBundleFormat(to.Ref, bundle, "https://sigstore.dev/cosign/sign/v1"); err != nil {
		w.t.Fatal(err)
	}
}

// attachLayer stores a signature the way cosign 2 does.
func (w *world) attachLayer(to cosign.Artifact, signature cosignoci.Signature) {
	entity := must(ociremote.SignedEntity(to.Ref))
	signed := must(mutate.AttachSignatureToEntity(entity, signature))
	if err := ociremote.WriteSignatures(to.Ref.Repository, signed); err != nil {
		w.t.Fatal(err)
	}
}

// attachManifest stores an image where cosign 2 looks for signatures.
func (w *world) attachManifest(to cosign.Artifact, layers ...ggcrmutate.Addendum) {
	image := must(ggcrmutate.Append(must(random.Image(1, 0)), layers...))
	if err := remote.Write(must(ociremote.SignatureTag(to.Ref)), image); err != nil {
		w.t.Fatal(err)
	}
}

// keypair is a key of an algorithm, and its public half as a Secret holds it.
func keypair(algorithm protocommon.PublicKeyDetails) (*sign.EphemeralKeypair, []byte) {
	pair := must(sign.NewEphemeralKeypair(&sign.EphemeralKeypairOptions{Algorithm: algorithm}))
	return pair, []byte(must(pair.GetPublicKeyPem()))
}

// bundleWith signs a statement about a digest with a key, by Sigstore's own code.
func bundleWith(pair sign.Keypair, digest string) []byte {
	return marshal(must(sign.Bundle(&sign.DSSEData{
		Data: statement(digest), PayloadType: "application/vnd.in-toto+json",
	}, pair, sign.BundleOptions{})))
}

// claim is what cosign 2 signs about a digest.
func claim(ref name.Digest) []byte { return must(payload.Cosign{Image: ref}.MarshalJSON()) }

// layerWith signs a payload with a key.
func layerWith(key crypto.PrivateKey, payload []byte) cosignoci.Signature {
	signer := must(sigs.LoadSigner(key, crypto.SHA256))
	signature := must(signer.SignMessage(bytes.NewReader(payload)))
	return must(static.NewSignature(payload, base64.StdEncoding.EncodeToString(signature)))
}

// layerBy signs a payload with a pair.
func layerBy(pair sign.Keypair, payload []byte) cosignoci.Signature {
	signature, _, err := pair.SignData(context.Background(), payload)
	return must(static.NewSignature(payload, base64.StdEncoding.EncodeToString(must(signature, err))))
}

// public is the public half of a key as a Secret holds it.
func public(key crypto.Signer) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(key.Public()))})
}

// layer signs a payload keyless, and writes it as cosign 2 does.
func (i *instance) layer(s signer, payload []byte) cosignoci.Signature {
	key := newKey()
	leaf := i.certify(s, key.Public())
	sum := sha256.Sum256(payload)
	signature := must(key.Sign(rand.Reader, sum[:], crypto.SHA256))
	options := []static.Option{static.WithCertChain(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), nil)}
	if !s.unlogged {
		entry, promised := i.promise(hashed(payload, signature, leaf), s.logged())
		options = append(options, static.WithBundle(&cosignbundle.RekorBundle{
			SignedEntryTimestamp: promised,
			Payload: cosignbundle.RekorPayload{
				Body: entry.Body, IntegratedTime: entry.IntegratedTime, LogIndex: entry.LogIndex, LogID: entry.LogID,
			},
		}))
	}
	if s.stamped {
		options = append(options, static.WithRFC3161Timestamp(&cosignbundle.RFC3161Timestamp{
			SignedRFC3161Timestamp: must(i.virtual.TimestampResponse(signature)),
		}))
	}
	return must(static.NewSignature(payload, base64.StdEncoding.EncodeToString(signature), options...))
}
