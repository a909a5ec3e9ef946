package cosign

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// RootKey is the key of a Secret that holds a trusted root.
const RootKey = "trusted_root.json"

// judge decides whether a signature is by somebody who is trusted, and says who, or what is in doubt.
type judge interface {
	judge(s signature) (by string, in *doubt)
}

// judge is who decides for this trust. The error is for the user: something in the trust itself is wrong.
func (t Trust) judge(ctx context.Context) (judge, error) {
	if t.Keys != nil {
		return parseKeys(t.Keys)
	}
	matchers, err := parseIdentities(t.Identities)
	if err != nil {
		return nil, err
	}
	material, err := t.material(ctx)
	if err != nil {
		return nil, err
	}
	return newCertificates(material, matchers)
}

// material is what a Sigstore instance trusts.
func (t Trust) material(ctx context.Context) (root.TrustedMaterial, error) {
	switch {
	case t.TrustedRoot != nil:
		custom, err := root.NewTrustedRootFromJSON(t.TrustedRoot)
		if err != nil {
			return nil, fmt.Errorf("%s in the Secret that %s names is no trusted root of Sigstore; make one with \"cosign "+
				"trusted-root create\"", RootKey, t.RootField)
		}
		return custom, nil
	case t.Public != nil:
		public, err := t.Public.material(ctx)
		if err != nil && t.RootField != "" {
			err = fmt.Errorf("%w, or name a trusted root in %s", err, t.RootField)
		}
		return public, err
	}
	return nil, errors.New("verification without a key needs a trusted root, and there is none; set spec.verify.secretRef")
}

// certificates trusts whoever has a certificate of a Sigstore instance, and is one of some.
type certificates struct {
	verifier *verify.Verifier
	material root.TrustedMaterial
	logged   bool // an entry in a certificate transparency log is asked for
	wanted   []matcher
}

// newCertificates asks for every proof that the instance can give.
func newCertificates(m root.TrustedMaterial, wanted []matcher) (*certificates, error) {
	c := &certificates{material: m, logged: len(m.CTLogs()) > 0, wanted: wanted}
	var options []verify.VerifierOption
	switch {
	case len(m.FulcioCertificateAuthorities()) == 0:
		return nil, errors.New("the trusted root lists no certificate authority, so that nobody is trusted")
	case len(m.RekorLogs()) > 0:
		options = append(options, verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	case len(m.TimestampingAuthorities()) > 0:
		options = append(options, verify.WithSignedTimestamps(1))
	default:
		return nil, errors.New("the trusted root lists neither a transparency log nor a timestamp authority, so that nothing says " +
			"when a signature was made")
	}
	if c.logged {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	var err error
	c.verifier, err = verify.NewVerifier(m, options...)
	return c, err
}

// judge lets the library decide about the signature, and then about the identity itself: of several identities one has to fit.
func (c *certificates) judge(s signature) (string, *doubt) {
	result, err := c.verifier.Verify(s.entity, verify.NewPolicy(s.artifact(), verify.WithoutIdentitiesUnsafe()))
	if err != nil {
		return "", c.diagnose(s)
	}
	if result.Signature == nil || result.Signature.Certificate == nil {
		return "", withKey()
	}
	signer := result.Signature.Certificate
	who := fmt.Sprintf("%.200q (issuer %.200q)", signer.SubjectAlternativeName, signer.Issuer)
	for _, m := range c.wanted {
		if m.issuer.MatchString(signer.Issuer) && m.subject.MatchString(signer.SubjectAlternativeName) {
			return who, nil
		}
	}
	return "", byStranger(who)
}

// diagnose finds out what the library refused a signature for. Its errors have no types, so its steps are taken one by one.
func (c *certificates) diagnose(s signature) *doubt {
	content, err := s.entity.VerificationContent()
	switch {
	case err != nil:
		return unreadable()
	case content.Certificate() == nil:
		return withKey()
	}
	logTimes, err := c.verifier.VerifyTransparencyLogInclusion(s.entity)
	switch {
	case err != nil && s.late():
		return s.or(uncertified())
	case err != nil:
		return s.or(unlogged())
	}
	times, err := c.verifier.VerifyObserverTimestamps(s.entity, logTimes)
	if err != nil {
		return s.or(timeless())
	}
	for _, at := range times {
		chains, err := verify.VerifyLeafCertificate(at.Timestamp, content.Certificate(), c.material)
		if err != nil {
			return s.or(uncertified())
		}
		if c.logged && verify.VerifySignedCertificateTimestamp(chains, 1, c.material) != nil {
			return s.or(unlisted())
		}
	}
	return s.or(forged())
}

// matcher is an identity with its expressions compiled.
type matcher struct {
	issuer, subject *regexp.Regexp
}

// parseIdentities compiles what the spec says. No identity at all is everybody.
func parseIdentities(identities []Identity) ([]matcher, error) {
	if len(identities) == 0 {
		identities = []Identity{{}}
	}
	matchers := make([]matcher, len(identities))
	for i, identity := range identities {
		for field, expr := range map[string]struct {
			text string
			into **regexp.Regexp
		}{"issuer": {identity.Issuer, &matchers[i].issuer}, "subject": {identity.Subject, &matchers[i].subject}} {
			compiled, err := regexp.Compile(expr.text)
			if err != nil {
				return nil, fmt.Errorf("spec.verify.matchOIDCIdentity[%d].%s is no regular expression: %w", i, field, err)
			}
			*expr.into = compiled
		}
	}
	return matchers, nil
}
