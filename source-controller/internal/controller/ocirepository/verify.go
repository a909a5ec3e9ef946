package ocirepository

import (
	"context"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/artifact"
)

// Signatures looks for the signature of what has a digest, by somebody who is trusted.
type Signatures interface {
	Verify(ctx context.Context, asked artifact.Asked, repo oci.Name, digest string, o oci.Options) (*plan.Verified, *plan.Problem)
}

// verify makes sure that what the reference names is signed as spec.verify says, by its digest, before anything of it is
// stored. What was found good before is not asked about again while neither it nor the spec changes.
func (r *Reconciler) verify(ctx context.Context, obj *sourcev1.OCIRepository, o *observed) (*plan.Verified, *plan.Problem) {
	if before, ok := verifiedBefore(obj, o.Upstream); ok {
		return before, nil
	}
	return r.Signatures.Verify(ctx, artifact.OfRepository(obj, o.Upstream), o.repo.Name(), o.digest, o.options)
}

// verifiedBefore is what the status says about the signature of a revision. ok is false if it has to be verified.
func verifiedBefore(obj *sourcev1.OCIRepository, revision string) (*plan.Verified, bool) {
	if obj.Spec.Verify == nil {
		return nil, true
	}
	c := apimeta.FindStatusCondition(obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
	if c == nil || c.Status != metav1.ConditionTrue || c.Reason != meta.SucceededReason || c.ObservedGeneration != obj.Generation ||
		!obj.Status.Artifact.HasRevision(revision) {
		return nil, false
	}
	return &plan.Verified{Reason: c.Reason, Message: c.Message}, true
}
