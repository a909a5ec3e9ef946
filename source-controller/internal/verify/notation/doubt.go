package notation

import (
	"errors"
	"fmt"

	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
)

// doubt is why a signature does not make an artifact trusted.
type doubt struct {
	// near is how much of the signature was in order: of several signatures the doubt that came nearest is told.
	near int
	text string
}

func (d *doubt) Error() string { return d.text }

func unreadable() *doubt {
	return &doubt{1, "it is in no form that notation writes, or damaged, or was changed; sign the artifact again"}
}

// failed reports whether a check failed, though the policy may not insist on it.
func failed(o *notation.VerificationOutcome, check trustpolicy.ValidationType) bool {
	for _, r := range o.VerificationResults {
		if r.Type == check && r.Error != nil {
			return true
		}
	}
	return false
}

// refused is the check that a signature failed, and that the policy insists on.
func refused(o *notation.VerificationOutcome) trustpolicy.ValidationType {
	for _, r := range o.VerificationResults {
		if r.Error != nil && r.Action == trustpolicy.ActionEnforce {
			return r.Type
		}
	}
	return ""
}

// diagnose says why a signature was refused.
func (s *search) diagnose(o *notation.VerificationOutcome) *doubt {
	if o == nil || o.EnvelopeContent == nil || len(o.EnvelopeContent.SignerInfo.CertificateChain) == 0 {
		return unreadable()
	}
	chain := o.EnvelopeContent.SignerInfo.CertificateChain
	var plugin notation.VerificationInconclusiveError
	switch check := refused(o); {
	case check == trustpolicy.TypeIntegrity:
		return unreadable()
	case check == trustpolicy.TypeAuthenticity && !s.authorities.issued(chain):
		return &doubt{2, "its certificate is of no authority in the Secret that spec.verify.secretRef names; put the signer's " +
			"authority there (*.pem or *.crt), or sign with a certificate of one that is there"}
	case check == trustpolicy.TypeAuthenticity:
		return &doubt{3, fmt.Sprintf("it is by %.200q, who is not in the trustedIdentities of the policy %q in trustpolicy.json, or "+
			"none of the policy's trust stores is for such signatures", chain[0].Subject, s.policy)}
	case check == trustpolicy.TypeExpiry:
		return &doubt{4, "it has expired: whoever signed set an end to it; sign the artifact again"}
	case check == trustpolicy.TypeAuthenticTimestamp:
		return &doubt{5, "its certificate is not valid now, or its timestamp is missing or of no authority in the Secret; sign " +
			"again, or sign with a timestamp and give the policy a trust store of the type tsa"}
	case check == trustpolicy.TypeRevocation && s.revocation.revoked:
		return &doubt{7, "its certificate was revoked; sign again with another one"}
	case check == trustpolicy.TypeRevocation:
		return &doubt{6, "whether its certificate was revoked cannot be found out: the server that the certificate names does not " +
			"answer as it should; allow the connection, or override revocation in trustpolicy.json"}
	case errors.As(o.Error, &plugin):
		return &doubt{2, "it asks for a plugin of notation, and none is started here; sign without one"}
	}
	return &doubt{8, "it is a signature of another artifact; sign this one by its digest"}
}
