package notation

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	// The two formats of signatures make themselves known to the library.
	_ "github.com/notaryproject/notation-core-go/signature/cose"
	_ "github.com/notaryproject/notation-core-go/signature/jws"

	"github.com/sluice-gitops/sluice/source-controller/internal/verify/registry"
)

// ErrUnsigned says that the artifact has no signature at all.
var ErrUnsigned = errors.New("the artifact has no notation signature; sign it with \"notation sign\"")

// Artifact is what has to be signed.
type Artifact = registry.Artifact

// Trust is who is trusted; see Secret.
type Trust struct {
	// Policy is a trustpolicy.json.
	Policy []byte
	// Certificates are authorities in PEM or DER, by the name of their file.
	Certificates map[string][]byte
	// Revocation reaches the servers that know of revoked certificates; nil is one with the proxies of the environment.
	Revocation http.RoundTripper
}

// Verify looks for a signature of the artifact that the policy trusts. by is the subject of its certificate. An empty by without
// an error says that the policy lets the artifact through without trusting anybody: it skips it, or only audits. The error says
// what is wrong and what to do; it quotes nothing of the registry but the subject of a certificate by a trusted authority.
func Verify(ctx context.Context, a Artifact, t Trust) (by string, err error) {
	authorities, err := parseCertificates(t.Certificates)
	if err != nil {
		return "", err
	}
	policy, err := parsePolicy(t.Policy)
	if err != nil {
		return "", err
	}
	statement, err := policy.GetApplicableTrustPolicy(a.Ref.Name())
	if err != nil {
		return "", fmt.Errorf("trustpolicy.json in the Secret that spec.verify.secretRef names has no policy for %s; add that to "+
			"the registryScopes of one", a.Ref.Context().Name())
	}
	if statement.SignatureVerification.VerificationLevel == trustpolicy.LevelSkip.Name {
		return "", nil
	}
	revocation, done, err := newRevocation(a, t.Revocation, authorities)
	if err != nil {
		return "", err
	}
	defer done()
	v, err := verifier.NewWithOptions(policy, authorities, nil, revocation.options())
	if err != nil {
		return "", invalid(err)
	}
	s := &search{artifact: a, verifier: v, authorities: authorities, policy: statement.Name, revocation: revocation}
	return s.run(ctx)
}

// search goes through the signatures of an artifact.
type search struct {
	artifact    Artifact
	verifier    notation.Verifier
	authorities store
	policy      string
	revocation  *revocation

	seen    int
	by      string
	through bool // a signature that is only audited
	closest *doubt
}

// errFound ends the search.
var errFound = errors.New("found")

func (s *search) run(ctx context.Context) (string, error) {
	repo, err := open(ctx, s.artifact)
	if err != nil {
		return "", s.artifact.Explain(ctx, err)
	}
	target, err := repo.Resolve(ctx, s.artifact.Ref.DigestStr())
	if err != nil {
		return "", s.artifact.Explain(ctx, err)
	}
	err = repo.ListSignatures(ctx, target, func(page []ocispec.Descriptor) error {
		for _, found := range page {
			if err := s.look(ctx, repo, target, found); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, errFound):
		return s.by, nil
	case err != nil:
		return "", s.artifact.Explain(ctx, err)
	case s.seen == 0:
		return "", ErrUnsigned
	case s.through:
		return "", nil
	case s.seen == 1:
		return "", fmt.Errorf("the artifact's only signature is not trusted: %w", s.closest)
	}
	return "", fmt.Errorf("none of the artifact's %d signatures is trusted: %w", s.seen, s.closest)
}

// look verifies one signature. An error ends the search.
func (s *search) look(ctx context.Context, repo repository, target, found ocispec.Descriptor) error {
	limits := s.artifact.Bounds()
	if s.seen++; s.seen > limits.Signatures {
		return limits.TooMany()
	}
	if found.Size > limits.Signature {
		s.doubt(unreadable())
		return nil
	}
	blob, envelope, err := repo.FetchSignatureBlob(ctx, found)
	if err != nil {
		// A registry that does not answer is no reason to take what it did answer for all there is. One signature that is
		// broken, or gone, is no reason not to look at the others.
		if s.artifact.Interrupted(ctx, err) {
			return err
		}
		s.doubt(unreadable())
		return nil
	}
	s.revocation.reset()
	outcome, err := s.verifier.Verify(ctx, target, blob, notation.VerifierVerifyOptions{
		ArtifactReference: s.artifact.Ref.Name(), SignatureMediaType: envelope.MediaType,
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		s.doubt(s.diagnose(outcome))
		return nil
	case failed(outcome, trustpolicy.TypeAuthenticity):
		s.through = true
		return nil
	}
	s.by = fmt.Sprintf("%.200q", outcome.EnvelopeContent.SignerInfo.CertificateChain[0].Subject)
	return errFound
}

func (s *search) doubt(d *doubt) {
	if s.closest == nil || d.near > s.closest.near {
		s.closest = d
	}
}
