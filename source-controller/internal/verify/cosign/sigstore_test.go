package cosign_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"testing"
	"time"

	ct "github.com/google/certificate-transparency-go"
	cttls "github.com/google/certificate-transparency-go/tls"
	"github.com/google/certificate-transparency-go/x509util"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
)

// instance is a whole Sigstore in memory: an authority that certifies identities, a log of certificates, a log of signatures
// and a timestamp authority.
type instance struct {
	t *testing.T

	root, intermediate *x509.Certificate
	key                *ecdsa.PrivateKey // of the intermediate authority
	certificateLog     *ecdsa.PrivateKey
	virtual            *ca.VirtualSigstore // the log of signatures, and the timestamp authority
	logIndex           int64
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newInstance(t *testing.T) *instance {
	t.Helper()
	authority, authorityKey, err := ca.GenerateRootCa()
	if err != nil {
		t.Fatal(err)
	}
	// A year of validity, so that certificates of another time than now can be made.
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "intermediate", Organization: []string{"sluice.test"}},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		BasicConstraintsValid: true, IsCA: true,
	}
	key := newKey()
	der := must(x509.CreateCertificate(rand.Reader, template, authority, key.Public(), authorityKey))
	return &instance{
		t: t, root: authority, intermediate: must(x509.ParseCertificate(der)), key: key,
		certificateLog: newKey(), virtual: must(ca.NewVirtualSigstore()),
	}
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// lists says what of an instance its trusted root lists.
type lists struct {
	noAuthority, noCertificateLog, noLog, noTime bool
}

// trustedRoot is the instance's trusted_root.json.
func (i *instance) trustedRoot(l lists) []byte {
	var authorities []root.CertificateAuthority
	var stampers []root.TimestampingAuthority
	logs, certificateLogs := map[string]*root.TransparencyLog{}, map[string]*root.TransparencyLog{}
	if !l.noAuthority {
		authorities = append(authorities, &root.FulcioCertificateAuthority{
			Root: i.root, Intermediates: []*x509.Certificate{i.intermediate}, ValidityPeriodStart: i.root.NotBefore,
		})
	}
	if !l.noTime {
		stampers = i.virtual.TimestampingAuthorities()
	}
	if !l.noLog {
		for id, log := range i.virtual.RekorLogs() {
			log.ID = must(hex.DecodeString(id))
			logs[id] = log
		}
	}
	if !l.noCertificateLog {
		id := logID(i.certificateLog)
		certificateLogs[hex.EncodeToString(id[:])] = &root.TransparencyLog{
			BaseURL: "https://ct.sluice.test", ID: id[:], ValidityPeriodStart: i.root.NotBefore,
			HashFunc: crypto.SHA256, PublicKey: i.certificateLog.Public(), SignatureHashFunc: crypto.SHA256,
		}
	}
	trusted := must(root.NewTrustedRoot(root.TrustedRootMediaType01, authorities, certificateLogs, stampers, logs))
	return must(json.Marshal(trusted))
}

func logID(key *ecdsa.PrivateKey) [32]byte {
	return sha256.Sum256(must(x509.MarshalPKIXPublicKey(key.Public())))
}

// signer is how somebody signs keyless.
type signer struct {
	subject, issuer string
	from            time.Time // the certificate's start, for ten minutes; zero is now
	at              time.Time // when the log took the signature; zero is two minutes after from
	unlisted        bool      // the certificate is in no log
	unlogged        bool      // the signature is in no log
	stamped         bool      // the signature has a timestamp
}

func (s signer) start() time.Time {
	if s.from.IsZero() {
		return time.Now().Add(-time.Minute)
	}
	return s.from
}

func (s signer) logged() time.Time {
	if s.at.IsZero() {
		return s.start().Add(2 * time.Minute)
	}
	return s.at
}

// certify gives a certificate to an identity, as Fulcio does.
func (i *instance) certify(s signer, public crypto.PublicKey) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		URIs:         []*url.URL{must(url.Parse(s.subject))},
		NotBefore:    s.start(), NotAfter: s.start().Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(s.issuer)}},
	}
	made := i.issue(template, public)
	if s.unlisted {
		return made
	}
	// The log signs the certificate without its own promise, which is then put into it.
	promise := ct.SignedCertificateTimestamp{
		SCTVersion: ct.V1, LogID: ct.LogID{KeyID: logID(i.certificateLog)}, Timestamp: uint64(time.Now().UnixMilli()),
	}
	signed := must(ct.SerializeSCTSignatureInput(promise, ct.LogEntry{Leaf: ct.MerkleTreeLeaf{
		Version: ct.V1, LeafType: ct.TimestampedEntryLeafType,
		TimestampedEntry: &ct.TimestampedEntry{
			Timestamp: promise.Timestamp, EntryType: ct.PrecertLogEntryType,
			PrecertEntry: &ct.PreCert{
				IssuerKeyHash: sha256.Sum256(i.intermediate.RawSubjectPublicKeyInfo), TBSCertificate: made.RawTBSCertificate,
			},
		},
	}}))
	sum := sha256.Sum256(signed)
	promise.Signature = ct.DigitallySigned{
		Algorithm: cttls.SignatureAndHashAlgorithm{Hash: cttls.SHA256, Signature: cttls.ECDSA},
		Signature: must(ecdsa.SignASN1(rand.Reader, i.certificateLog, sum[:])),
	}
	list := must(x509util.MarshalSCTsIntoSCTList([]*ct.SignedCertificateTimestamp{&promise}))
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{
		Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: must(asn1.Marshal(must(cttls.Marshal(*list)))),
	})
	return i.issue(template, public)
}

func (i *instance) issue(template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, i.intermediate, public, i.key))))
}

// promise is the log's signed word that it has an entry.
func (i *instance) promise(body []byte, at time.Time) (tlog.RekorPayload, []byte) {
	i.logIndex++
	payload := tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(body), IntegratedTime: at.Unix(), LogIndex: i.logIndex,
		LogID: must(i.virtual.RekorLogID()),
	}
	return payload, must(i.virtual.RekorSignPayload(payload))
}

// bundle signs a statement about a digest keyless, and writes it as cosign 3 does.
func (i *instance) bundle(s signer, digest string) []byte {
	b := must(sign.Bundle(&sign.DSSEData{Data: statement(digest), PayloadType: "application/vnd.in-toto+json"},
		must(sign.NewEphemeralKeypair(nil)), sign.BundleOptions{CertificateProvider: provider{i, s}}))
	signature := b.GetDsseEnvelope().GetSignatures()[0].GetSig()
	if !s.unlogged {
		b.VerificationMaterial.TlogEntries = []*protorekor.TransparencyLogEntry{i.entry(s, b, signature)}
	}
	if s.stamped {
		b.VerificationMaterial.TimestampVerificationData = &protobundle.TimestampVerificationData{
			Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: must(i.virtual.TimestampResponse(signature))}},
		}
	}
	return marshal(b)
}

// entry is the log's entry of a bundle.
func (i *instance) entry(s signer, b *protobundle.Bundle, signature []byte) *protorekor.TransparencyLogEntry {
	leaf := must(x509.ParseCertificate(b.GetVerificationMaterial().GetCertificate().GetRawBytes()))
	envelope := &dsse.Envelope{
		Payload:     base64.StdEncoding.EncodeToString(b.GetDsseEnvelope().GetPayload()),
		PayloadType: b.GetDsseEnvelope().GetPayloadType(),
		Signatures:  []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(signature)}},
	}
	made := must(i.virtual.GenerateTlogEntry(leaf, envelope, signature, s.logged().Unix(), false))
	body := made.TransparencyLogEntry().GetCanonicalizedBody()
	payload, promised := i.promise(body, s.logged())
	proof := must(i.virtual.GetInclusionProof(body))
	hash := sha256.Sum256(append([]byte{0}, body...))
	return &protorekor.TransparencyLogEntry{
		LogIndex: payload.LogIndex, LogId: &protocommon.LogId{KeyId: must(hex.DecodeString(payload.LogID))},
		KindVersion:      &protorekor.KindVersion{Kind: "dsse", Version: "0.0.1"},
		IntegratedTime:   payload.IntegratedTime,
		InclusionPromise: &protorekor.InclusionPromise{SignedEntryTimestamp: promised},
		InclusionProof: &protorekor.InclusionProof{
			TreeSize: 1, RootHash: hash[:], Checkpoint: &protorekor.Checkpoint{Envelope: *proof.Checkpoint},
		},
		CanonicalizedBody: body,
	}
}

// hashed is the body of the log's entry of a signature of cosign 2.
func hashed(payload, signature []byte, leaf *x509.Certificate) []byte {
	sum := sha256.Sum256(payload)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
	return fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%x"}},`+
		`"signature":{"content":"%s","publicKey":{"content":"%s"}}}}`, sum,
		base64.StdEncoding.EncodeToString(signature), base64.StdEncoding.EncodeToString(certificate))
}

// provider gives certificates to Sigstore's own signing code.
type provider struct {
	from *instance
	to   signer
}

func (p provider) GetCertificate(_ context.Context, pair sign.Keypair, _ *sign.CertificateProviderOptions) ([]byte, error) {
	return p.from.certify(p.to, pair.GetPublicKey()).Raw, nil
}

// statement is what cosign 3 signs about a digest.
func statement(digest string) []byte {
	_, sum, _ := bytes.Cut([]byte(digest), []byte(":"))
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%s"}}],`+
		`"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`, sum)
}
