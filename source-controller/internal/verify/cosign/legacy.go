package cosign

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
)

// How cosign 2 writes a signature: a layer whose content is what was signed, and annotations of the layer with the rest.
const (
	layerType       = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureNote   = "dev.cosignproject.cosign/signature"
	certificateNote = "dev.sigstore.cosign/certificate"
	logNote         = "dev.sigstore.cosign/bundle"
	timeNote        = "dev.sigstore.cosign/rfc3161timestamp"

	claimType   = "cosign container image signature"
	claimBundle = bundleType + "+json;version=0.1" // the version whose log entries have a promise, as cosign 2 has them
)

// claim is what cosign 2 signs.
type claim struct {
	Critical struct {
		Type  string `json:"type"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
	} `json:"critical"`
}

// claims is nil for a payload that is a claim about the artifact. Without this question a signature of any artifact, copied to
// where those of this one are looked for, would pass.
func claims(payload []byte, of string) *doubt {
	var c claim
	switch {
	case json.Unmarshal(payload, &c) != nil || c.Critical.Type != claimType:
		return unreadable()
	case c.Critical.Image.Digest != of:
		return ofAnother()
	}
	return nil
}

// layered is the signature in a layer. With a key, the proofs that come with a certificate are not looked at.
func layered(payload []byte, notes map[string]string, of string, keyed bool) signature {
	if flaw := claims(payload, of); flaw != nil {
		return signature{flaw: flaw}
	}
	converted, err := convert(payload, notes, keyed)
	if err != nil {
		return signature{flaw: unreadable()}
	}
	entity, err := bundle.NewBundle(converted)
	if err != nil {
		return signature{flaw: unreadable()}
	}
	return signature{entity: entity, payload: payload}
}

// convert writes a signature of cosign 2 as a bundle, which is what the library verifies.
func convert(payload []byte, notes map[string]string, keyed bool) (*protobundle.Bundle, error) {
	signed, err := base64.StdEncoding.DecodeString(notes[signatureNote])
	if err != nil || len(signed) == 0 {
		return nil, errors.New("no signature")
	}
	sum := sha256.Sum256(payload)
	material := &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_PublicKey{
		PublicKey: &protocommon.PublicKeyIdentifier{},
	}}
	if !keyed {
		if material, err = proofs(notes); err != nil {
			return nil, err
		}
	}
	return &protobundle.Bundle{
		MediaType:            claimBundle,
		VerificationMaterial: material,
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]},
			Signature:     signed,
		}},
	}, nil
}

// proofs is the certificate of a signature, its entry in a log, and its time.
func proofs(notes map[string]string) (*protobundle.VerificationMaterial, error) {
	material := &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_PublicKey{
		PublicKey: &protocommon.PublicKeyIdentifier{},
	}}
	if certificate := notes[certificateNote]; certificate != "" {
		block, _ := pem.Decode([]byte(certificate))
		if block == nil {
			return nil, errors.New("no certificate")
		}
		material.Content = &protobundle.VerificationMaterial_X509CertificateChain{
			X509CertificateChain: &protocommon.X509CertificateChain{
				Certificates: []*protocommon.X509Certificate{{RawBytes: block.Bytes}},
			},
		}
	}
	if note := notes[logNote]; note != "" {
		entry, err := logEntry([]byte(note))
		if err != nil {
			return nil, err
		}
		material.TlogEntries = []*protorekor.TransparencyLogEntry{entry}
	}
	if note := notes[timeNote]; note != "" {
		var stamp struct{ SignedRFC3161Timestamp []byte }
		if err := json.Unmarshal([]byte(note), &stamp); err != nil {
			return nil, err
		}
		material.TimestampVerificationData = &protobundle.TimestampVerificationData{
			Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: stamp.SignedRFC3161Timestamp}},
		}
	}
	return material, nil
}

// logEntry is an entry of a transparency log with the log's signed promise to have it.
func logEntry(note []byte) (*protorekor.TransparencyLogEntry, error) {
	var promise struct {
		SignedEntryTimestamp []byte
		Payload              struct {
			Body           []byte `json:"body"`
			IntegratedTime int64  `json:"integratedTime"`
			LogIndex       int64  `json:"logIndex"`
			LogID          string `json:"logID"`
		}
	}
	if err := json.Unmarshal(note, &promise); err != nil {
		return nil, err
	}
	var body struct {
		Kind    string `json:"kind"`
		Version string `json:"apiVersion"`
	}
	if err := json.Unmarshal(promise.Payload.Body, &body); err != nil {
		return nil, err
	}
	id, err := hex.DecodeString(promise.Payload.LogID)
	if err != nil {
		return nil, err
	}
	return &protorekor.TransparencyLogEntry{
		LogIndex:          promise.Payload.LogIndex,
		LogId:             &protocommon.LogId{KeyId: id},
		KindVersion:       &protorekor.KindVersion{Kind: body.Kind, Version: body.Version},
		IntegratedTime:    promise.Payload.IntegratedTime,
		InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: promise.SignedEntryTimestamp},
		CanonicalizedBody: promise.Payload.Body,
	}, nil
}
