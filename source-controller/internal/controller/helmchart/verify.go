package helmchart

import (
	"context"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/artifact"
)

// signed makes sure that what a tag stands for is signed as spec.verify says, by its digest, before anything of it is stored.
func (r *Reconciler) signed(ctx context.Context, obj *sourcev1.HelmChart, g *registry, digest string) (*plan.Verified, *plan.Problem) {
	if obj.Spec.Verify == nil {
		return nil, nil
	}
	return r.Signatures.Verify(ctx, artifact.OfChart(obj, g.version), g.repo.Name(), digest, g.options)
}

// verified is whose signature the stored chart has. What was found good before is not asked about again while neither it nor the
// spec changes.
func (r *Reconciler) verified(ctx context.Context, obj *sourcev1.HelmChart, o *observed) (*plan.Verified, *plan.Problem) {
	if obj.Spec.Verify == nil || o.registry == nil {
		return nil, nil
	}
	c := apimeta.FindStatusCondition(obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
	if c != nil && c.Status == metav1.ConditionTrue && c.Reason == meta.SucceededReason && c.ObservedGeneration == obj.Generation {
		return &plan.Verified{Reason: c.Reason, Message: c.Message}, nil
	}
	digest, err := o.registry.repo.Resolve(ctx, o.registry.tag)
	if err != nil {
		return nil, o.registry.problem(err)
	}
	return r.signed(ctx, obj, o.registry, digest)
}
