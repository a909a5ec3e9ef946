package cosign

import (
	"errors"
	"fmt"
)

// doubt is why a signature does not make an artifact trusted.
type doubt struct {
	// near is how much of the signature was in order. Of several signatures the doubt that came nearest is told: somebody who
	// has the wrong key wants to hear of it, not of the attestation in a format nobody knows.
	near int
	text string
}

func (d *doubt) Error() string { return d.text }

// Doubts that depend on nothing.
func unreadable() *doubt {
	return &doubt{1, "it is in no form that cosign 2 or later writes, or damaged; sign the artifact again"}
}

func tooLarge(limit int64) *doubt {
	return &doubt{2, fmt.Sprintf("it is larger than %d KiB, which no signature of cosign is", limit>>10)}
}

func ofAnother() *doubt {
	return &doubt{3, "it is a signature of another artifact; sign this one by its digest"}
}

func withCertificate() *doubt {
	return &doubt{4, "it was made with a certificate (keyless), and spec.verify.secretRef asks for a key; leave secretRef out " +
		"and say who may sign in spec.verify.matchOIDCIdentity, or sign with the key"}
}

func withKey() *doubt {
	return &doubt{4, "it was made with a key, and without spec.verify.secretRef a certificate (keyless) is asked for; put the " +
		"public key into a Secret that secretRef names, or sign keyless"}
}

func forged() *doubt {
	return &doubt{5, "it does not fit what it claims to sign: one of them was changed"}
}

func unlogged() *doubt {
	return &doubt{6, "it brings no proof that one of the transparency logs in the trusted root has it; sign with the log's upload " +
		"on, against the Sigstore instance that is trusted"}
}

func timeless() *doubt {
	return &doubt{7, "it brings no proof of when it was made, from a transparency log or a timestamp authority in the trusted " +
		"root, so that nobody knows whether its certificate was valid then; sign with one of them"}
}

func uncertified() *doubt {
	return &doubt{8, "its certificate is of no authority in the trusted root, or was not valid when the signature was made; sign " +
		"against the Sigstore instance that is trusted, while the certificate is valid"}
}

func unlisted() *doubt {
	return &doubt{9, "its certificate is in no certificate transparency log of the trusted root"}
}

func byStranger(who string) *doubt {
	return &doubt{10, "it is by " + who + ", who is not in spec.verify.matchOIDCIdentity"}
}

// closer is the one of two reasons that came nearer to trust.
func closer(a, b error) error {
	var x, y *doubt
	switch {
	case !errors.As(a, &x):
		return b
	case errors.As(b, &y) && y.near > x.near:
		return b
	}
	return a
}
