package notation_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	stamps "github.com/digitorus/timestamp"
	"github.com/google/go-containerregistry/pkg/name"
	fakes "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	core "github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	notationregistry "github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/tspclient-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	orasremote "oras.land/oras-go/v2/registry/remote"

	verified "github.com/sluice-gitops/sluice/source-controller/internal/verify/notation"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// authority issues certificates.
type authority struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

func distinguished(name string) pkix.Name {
	return pkix.Name{CommonName: name, Organization: []string{"Team"}, Province: []string{"BE"}, Country: []string{"CH"}}
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func newAuthority() *authority {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: distinguished("authority"),
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
	}
	key := newKey()
	return &authority{must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)))), key}
}

// pem is the authority as a Secret holds it.
func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// holder is somebody with a certificate.
type holder struct {
	chain []*x509.Certificate
	key   *ecdsa.PrivateKey
}

// issue gives a certificate for signing to somebody; change may alter it.
func (a *authority) issue(subject string, change func(*x509.Certificate)) holder {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: distinguished(subject),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if change != nil {
		change(template)
	}
	key := newKey()
	leaf := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, a.root, key.Public(), a.key))))
	return holder{[]*x509.Certificate{leaf, a.root}, key}
}

// stamper is a timestamp authority that says at.
func (a *authority) stamper(t *testing.T, at time.Time) tspclient.Timestamper {
	stamping := a.issue("clock", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = at.Add(-time.Hour), time.Now().Add(time.Hour)
		c.ExtKeyUsage = nil
		c.ExtraExtensions = []pkix.Extension{{
			Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true,
			Value: must(asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})),
		}}
	})
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		asked := must(stamps.ParseRequest(must(io.ReadAll(in.Body))))
		stamp := stamps.Timestamp{
			HashAlgorithm: asked.HashAlgorithm, HashedMessage: asked.HashedMessage, Time: at, Accuracy: time.Second,
			Nonce: asked.Nonce, Policy: asn1.ObjectIdentifier{1, 2, 3, 4}, AddTSACertificate: true,
			Certificates: []*x509.Certificate{a.root},
		}
		out.Header().Set("Content-Type", "application/timestamp-reply")
		_, _ = out.Write(must(stamp.CreateResponseWithOpts(stamping.chain[0], stamping.key, crypto.SHA256)))
	}))
	t.Cleanup(server.Close)
	return must(tspclient.NewHTTPTimestamper(server.Client(), server.URL))
}

// world is a registry with an artifact in it.
type world struct {
	t        *testing.T
	server   *httptest.Server
	artifact verified.Artifact

	mu       sync.Mutex
	requests []string
	broken   func(w http.ResponseWriter, r *http.Request) bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	handler := fakes.New(fakes.WithReferrersSupport(true), fakes.Logger(log.New(io.Discard, "", 0)))
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
func (w *world) push() verified.Artifact {
	repo := must(name.NewRepository(strings.TrimPrefix(w.server.URL, "http://") + "/team/app"))
	image := must(random.Image(64, 1))
	ref := repo.Digest(must(image.Digest()).String())
	if err := remote.Write(ref, image); err != nil {
		w.t.Fatal(err)
	}
	return verified.Artifact{Ref: ref, Transport: http.DefaultTransport}
}

func (w *world) repository() notationregistry.Repository {
	repo := must(orasremote.NewRepository(w.artifact.Ref.Context().Name()))
	repo.PlainHTTP = true
	return notationregistry.NewRepository(repo)
}

// sign is what "notation sign" does.
func (w *world) sign(by holder, o notation.SignerSignOptions) {
	w.t.Helper()
	if o.SignatureMediaType == "" {
		o.SignatureMediaType = jws.MediaTypeEnvelope
	}
	_, err := notation.Sign(w.t.Context(), must(signer.NewGenericSigner(by.key, by.chain)), w.repository(),
		notation.SignOptions{SignerSignOptions: o, ArtifactReference: w.artifact.Ref.DigestStr()})
	if err != nil {
		w.t.Fatal(err)
	}
}

// crafted signs what "notation sign" would not, such as at another time, and attaches it. change may alter the signature.
func (w *world) crafted(by holder, of name.Digest, request func(*core.SignRequest), change func([]byte) []byte) {
	w.t.Helper()
	ctx := context.Background()
	repo := w.repository()
	target, signed := must(repo.Resolve(ctx, w.artifact.Ref.DigestStr())), must(repo.Resolve(ctx, of.DigestStr()))
	r := &core.SignRequest{
		Payload: core.Payload{
			ContentType: "application/vnd.cncf.notary.payload.v1+json",
			Content:     must(json.Marshal(map[string]ocispec.Descriptor{"targetArtifact": signed})),
		},
		Signer: must(core.NewLocalSigner(by.chain, by.key)), SigningTime: time.Now(), SigningScheme: core.SigningSchemeX509,
	}
	if request != nil {
		request(r)
	}
	blob := must(must(core.NewEnvelope(jws.MediaTypeEnvelope)).Sign(r))
	if change != nil {
		blob = change(blob)
	}
	if _, _, err := repo.PushSignature(ctx, jws.MediaTypeEnvelope, blob, target, nil); err != nil {
		w.t.Fatal(err)
	}
}

// policy is a trustpolicy.json with one statement; change may alter it.
func policy(level string, change func(statement map[string]any)) []byte {
	statement := map[string]any{
		"name": "team", "registryScopes": []string{"*"}, "signatureVerification": map[string]any{"level": level},
		"trustStores": []string{"ca:team"}, "trustedIdentities": []string{"*"},
	}
	if change != nil {
		change(statement)
	}
	return must(json.Marshal(map[string]any{"version": "1.0", "trustPolicies": []any{statement}}))
}

// ask verifies.
func (w *world) ask(policy []byte, authorities ...*authority) (string, error) {
	certificates := map[string][]byte{}
	for i, a := range authorities {
		certificates[fmt.Sprintf("%d.crt", i)] = a.pem()
	}
	return verified.Verify(w.t.Context(), w.artifact, verified.Trust{Policy: policy, Certificates: certificates})
}

// refused wants an error with some words.
func (w *world) refused(reason string, by string, err error, wants ...string) {
	w.t.Helper()
	if err == nil || by != "" {
		w.t.Fatalf("%s: by %q, %v", reason, by, err)
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			w.t.Errorf("%s: the message does not say %q: %v", reason, want, err)
		}
	}
	w.t.Log(err)
}
