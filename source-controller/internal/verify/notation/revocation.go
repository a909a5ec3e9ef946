package notation

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	core "github.com/notaryproject/notation-core-go/revocation"
	"github.com/notaryproject/notation-core-go/revocation/crl"
	"github.com/notaryproject/notation-core-go/revocation/purpose"
	"github.com/notaryproject/notation-core-go/revocation/result"
	"github.com/notaryproject/notation-go/verifier"

	"github.com/sluice-gitops/sluice/source-controller/internal/verify/registry"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// askWithin bounds one question about revoked certificates; the library itself would wait for two to five seconds.
const askWithin = 5 * time.Second

// revocation asks whether certificates were revoked, and remembers the answer for the message.
type revocation struct {
	authorities       store
	signing, stamping core.Validator
	revoked           bool
}

// newRevocation bounds what such a server may send. done closes its connections.
func newRevocation(a Artifact, through http.RoundTripper, authorities store) (r *revocation, done func(), err error) {
	done = func() {}
	if through == nil {
		own, _ := wire.NewPool().Transport(wire.Peer{})
		through, done = own, own.CloseIdleConnections
	}
	client := &http.Client{Transport: registry.Artifact{Transport: through, Limits: a.Limits}.Bounded(), Timeout: askWithin}
	r = &revocation{authorities: authorities}
	if r.signing, err = newValidator(client, purpose.CodeSigning); err == nil {
		r.stamping, err = newValidator(client, purpose.Timestamping)
	}
	return r, done, err
}

func newValidator(client *http.Client, of purpose.Purpose) (core.Validator, error) {
	lists, err := crl.NewHTTPFetcher(client)
	if err != nil {
		return nil, err
	}
	return core.NewWithOptions(core.Options{OCSPHTTPClient: client, CRLFetcher: lists, CertChainPurpose: of})
}

func (r *revocation) options() verifier.VerifierOptions {
	return verifier.VerifierOptions{
		RevocationCodeSigningValidator:  &guarded{r, r.signing},
		RevocationTimestampingValidator: &guarded{r, r.stamping},
	}
}

func (r *revocation) reset() { r.revoked = false }

// guarded asks only for certificates by a trusted authority. Others name any address they like, and a policy that only audits
// would ask there.
type guarded struct {
	*revocation
	next core.Validator
}

func (g *guarded) ValidateContext(ctx context.Context, o core.ValidateContextOptions) ([]*result.CertRevocationResult, error) {
	if !g.authorities.issued(o.CertChain) {
		return nil, errors.New("not by a trusted authority")
	}
	results, err := g.next.ValidateContext(ctx, o)
	g.revoked = g.revoked || slices.ContainsFunc(results, func(r *result.CertRevocationResult) bool {
		return r != nil && r.Result == result.ResultRevoked
	})
	return results, err
}
