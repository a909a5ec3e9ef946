package cosign

import (
	"bytes"
	"encoding/hex"
	"slices"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// signature is something that was attached to an artifact as a signature of it.
type signature struct {
	// flaw is why it cannot be one; nothing else is set then.
	flaw *doubt
	// entity is the signature with its proofs.
	entity *bundle.Bundle
	// payload is what was signed; nil if that is in entity.
	payload []byte
	// digest is the artifact's.
	digest digest
}

// digest is how the library wants one.
type digest struct {
	algorithm string
	sum       []byte
}

func newDigest(algorithm, hexadecimal string) (digest, error) {
	sum, err := hex.DecodeString(hexadecimal)
	return digest{algorithm, sum}, err
}

// judged is who made the signature, or what is in doubt.
func (s signature) judged(by judge) (string, *doubt) {
	if s.flaw != nil {
		return "", s.flaw
	}
	return by.judge(s)
}

// artifact is what the signature has to be of: the payload, which was compared with the digest, or the digest itself.
func (s signature) artifact() verify.ArtifactPolicyOption {
	if s.payload != nil {
		return verify.WithArtifact(bytes.NewReader(s.payload))
	}
	return verify.WithArtifactDigest(s.digest.algorithm, s.digest.sum)
}

// or is the doubt, unless what was signed is another artifact: then nothing else about the signature matters.
func (s signature) or(d *doubt) *doubt {
	if s.payload == nil && s.isOfAnother() {
		return ofAnother()
	}
	return d
}

// isOfAnother reports whether the statement in a bundle is about something else.
func (s signature) isOfAnother() bool {
	envelope, err := s.entity.Envelope()
	if err != nil {
		return false
	}
	statement, err := envelope.Statement()
	if err != nil {
		return false
	}
	want := hex.EncodeToString(s.digest.sum)
	for _, subject := range statement.GetSubject() {
		if subject.GetDigest()[s.digest.algorithm] == want {
			return false
		}
	}
	return true
}

// late reports whether a log has the signature from a time when its certificate was not valid.
func (s signature) late() bool {
	content, err := s.entity.VerificationContent()
	if err != nil || content.Certificate() == nil {
		return false
	}
	entries, err := s.entity.TlogEntries()
	return err == nil && slices.ContainsFunc(entries, func(entry *tlog.Entry) bool {
		return !entry.IntegratedTime().IsZero() && !content.ValidAtTime(entry.IntegratedTime(), nil)
	})
}
