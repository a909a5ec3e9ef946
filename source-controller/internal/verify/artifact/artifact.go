// Package artifact makes sure that what is in a registry is signed as spec.verify of an OCIRepository or of a HelmChart says.
package artifact

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/cosign"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/notation"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/registry"
)

const (
	keysField = "spec.verify.secretRef"
	rootField = "spec.verify.trustedRootSecretRef"
)

// Asked is what has to be signed, and by whom.
type Asked struct {
	namespace string
	what      string
	rootField string
	spec      sourcev1.OCIRepositoryVerification
}

// OfRepository is what spec.verify of an OCIRepository asks about a revision.
func OfRepository(obj *sourcev1.OCIRepository, revision string) Asked {
	return Asked{obj.Namespace, "revision " + revision, rootField, *obj.Spec.Verify}
}

// OfChart is what spec.verify of a HelmChart asks about a version. It cannot name a Sigstore instance of its own.
func OfChart(obj *sourcev1.HelmChart, version string) Asked {
	return Asked{obj.Namespace, "version " + version, "", sourcev1.OCIRepositoryVerification{
		Provider: obj.Spec.Verify.Provider, SecretRef: obj.Spec.Verify.SecretRef, MatchOIDCIdentity: obj.Spec.Verify.MatchOIDCIdentity,
	}}
}

// Verifier reads who is trusted, and looks for their signatures. It is safe for concurrent use.
type Verifier struct {
	// Secrets reads keys, policies and trusted roots.
	Secrets secret.Reader
	// Public is what the public Sigstore instance trusts.
	Public *cosign.PublicRoot
}

// Verify makes sure that what has a digest in a repository is signed; o is how the repository is reached. It returns whose
// signature was found good; nil for what a policy of notation lets through without trusting anybody. Every problem is one of
// verification: what is not known to be signed is not taken.
func (v *Verifier) Verify(ctx context.Context, asked Asked, repo name.Repository, digest string, o oci.Options) (*plan.Verified, *plan.Problem) {
	signed := registry.ByItself(repo.Digest(digest), oci.Via(repo, o))
	var by string
	var err error
	switch asked.spec.Provider {
	case "cosign", "":
		by, err = v.cosign(ctx, asked, signed)
	case "notation":
		by, err = v.notation(ctx, asked, signed)
	default:
		err = fmt.Errorf("spec.verify.provider %q is not known; use cosign or notation", asked.spec.Provider)
	}
	switch {
	case err != nil:
		return nil, refused(asked, err)
	case by == "":
		return nil, nil
	}
	return &plan.Verified{Reason: meta.SucceededReason, Message: fmt.Sprintf("verified signature of %s by %s", asked.what, by)}, nil
}

// refused is the problem with what is not signed. A registry that wants to be left alone is.
func refused(asked Asked, err error) *plan.Problem {
	p := plan.VerificationProblem(sourcev1.VerificationError, "%s is not taken without a good signature: %v", asked.what, err)
	var limited *oci.RateLimited
	if errors.As(err, &limited) {
		p.After = limited.After
	}
	return p
}

func (v *Verifier) cosign(ctx context.Context, asked Asked, signed registry.Artifact) (string, error) {
	trust := cosign.Trust{Public: v.Public, RootField: asked.rootField}
	if ref := asked.spec.SecretRef; ref != nil {
		data, problem := v.Secrets.Data(ctx, asked.namespace, ref.Name, keysField)
		if problem != nil {
			return "", problem
		}
		var err error
		if trust.Keys, err = cosign.Keys(data); err != nil {
			return "", err
		}
	} else if ref := asked.spec.TrustedRootSecretRef; ref != nil {
		data, problem := v.Secrets.Data(ctx, asked.namespace, ref.Name, rootField)
		if problem != nil {
			return "", problem
		}
		var ok bool
		if trust.TrustedRoot, ok = data[cosign.RootKey]; !ok {
			return "", fmt.Errorf("the Secret that %s names has no %s; put the instance's trusted root into a key of that name",
				rootField, cosign.RootKey)
		}
	}
	for _, match := range asked.spec.MatchOIDCIdentity {
		trust.Identities = append(trust.Identities, cosign.Identity{Issuer: match.Issuer, Subject: match.Subject})
	}
	return cosign.Verify(ctx, signed, trust)
}

func (v *Verifier) notation(ctx context.Context, asked Asked, signed registry.Artifact) (string, error) {
	ref := asked.spec.SecretRef
	if ref == nil {
		return "", errors.New("spec.verify.secretRef is missing: notation needs a Secret with trustpolicy.json and certificates")
	}
	data, problem := v.Secrets.Data(ctx, asked.namespace, ref.Name, keysField)
	if problem != nil {
		return "", problem
	}
	trust, err := notation.Secret(data)
	if err != nil {
		return "", err
	}
	return notation.Verify(ctx, signed, trust)
}
