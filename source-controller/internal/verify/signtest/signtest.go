// Package signtest signs artifacts in registries for tests, with the code of cosign, Sigstore and notation themselves.
package signtest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	notationregistry "github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	"github.com/sigstore/cosign/v3/pkg/oci/mutate"
	ociremote "github.com/sigstore/cosign/v3/pkg/oci/remote"
	"github.com/sigstore/cosign/v3/pkg/oci/static"
	"github.com/sigstore/sigstore-go/pkg/sign"
	sigs "github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/payload"
	"google.golang.org/protobuf/encoding/protojson"
	orasremote "oras.land/oras-go/v2/registry/remote"
)

// Layer signs an artifact with a new key as cosign 2 does, and returns the public half as a Secret has it.
func Layer(ref name.Digest, o ...remote.Option) (public []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	claim, err := payload.Cosign{Image: ref}.MarshalJSON()
	if err != nil {
		return nil, err
	}
	by, err := sigs.LoadSigner(key, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	signed, err := by.SignMessage(bytes.NewReader(claim))
	if err != nil {
		return nil, err
	}
	made, err := static.NewSignature(claim, base64.StdEncoding.EncodeToString(signed))
	if err != nil {
		return nil, err
	}
	entity, err := ociremote.SignedEntity(ref, ociremote.WithRemoteOptions(o...))
	if err != nil {
		return nil, err
	}
	if entity, err = mutate.AttachSignatureToEntity(entity, made); err != nil {
		return nil, err
	}
	if err := ociremote.WriteSignatures(ref.Repository, entity, ociremote.WithRemoteOptions(o...)); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}

// Bundle signs an artifact with a new key as cosign 3 does, and returns the public half as a Secret has it.
func Bundle(ref name.Digest, o ...remote.Option) (public []byte, err error) {
	pair, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, err
	}
	const about = "https://sigstore.dev/cosign/sign/v1"
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%s"}}],`+
		`"predicateType":"%s","predicate":{}}`, strings.TrimPrefix(ref.DigestStr(), "sha256:"), about)
	made, err := sign.Bundle(&sign.DSSEData{Data: statement, PayloadType: "application/vnd.in-toto+json"}, pair, sign.BundleOptions{})
	if err != nil {
		return nil, err
	}
	data, err := protojson.Marshal(made)
	if err != nil {
		return nil, err
	}
	if err := ociremote.WriteAttestationNewBundleFormat(ref, data, about, ociremote.WithRemoteOptions(o...)); err != nil {
		return nil, err
	}
	text, err := pair.GetPublicKeyPem()
	return []byte(text), err
}

// Policy is a trustpolicy.json with one statement, about everything, of a level such as strict.
func Policy(level string) []byte {
	return fmt.Appendf(nil, `{"version":"1.0","trustPolicies":[{"name":"team","registryScopes":["*"],`+
		`"signatureVerification":{"level":%q},"trustStores":["ca:team"],"trustedIdentities":["*"]}]}`, level)
}

// Notation signs an artifact by a new authority as notation does, in the name of CN=release, and returns the authority as a
// Secret has it. Without TLS, and without a login.
func Notation(ctx context.Context, ref name.Digest) (authority []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	named := func(name string) pkix.Name {
		return pkix.Name{CommonName: name, Organization: []string{"Team"}, Province: []string{"BE"}, Country: []string{"CH"}}
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: named("authority"), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: named("release"), NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	var chain []*x509.Certificate
	for _, template := range []*x509.Certificate{leaf, root} {
		der, err := x509.CreateCertificate(rand.Reader, template, root, key.Public(), key)
		if err != nil {
			return nil, err
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, made)
	}
	by, err := signer.NewGenericSigner(key, chain)
	if err != nil {
		return nil, err
	}
	repo, err := orasremote.NewRepository(ref.Context().Name())
	if err != nil {
		return nil, err
	}
	repo.PlainHTTP = true
	_, err = notation.Sign(ctx, by, notationregistry.NewRepository(repo), notation.SignOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: jws.MediaTypeEnvelope}, ArtifactReference: ref.DigestStr(),
	})
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[1].Raw}), err
}
