package ocirepository

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// act takes the step that was decided on.
func (r *Reconciler) act(ctx context.Context, obj *sourcev1.OCIRepository, o *observed) Outcome {
	out := attempt.Start[*sourcev1.OCIRepository](o.Observed)
	out.Note, out.Verified = note, o.verified
	if out.Step == plan.Build {
		artifact, problem := r.build(ctx, obj, o)
		if out.Problem = problem; problem == nil {
			out.Artifact, out.Stored, out.Made = artifact, true, true
		}
	}
	if out.Artifact != nil {
		out.Message = fmt.Sprintf("stored artifact for digest '%s'", out.Artifact.Revision)
		out.Change = change(obj, out.Artifact)
	}
	return out
}

// recipe says what an artifact is made of, and how.
type recipe struct {
	revision string
	selector *sourcev1.OCILayerSelector
	ignore   *string
}

func (c recipe) mediaType() string {
	if c.selector == nil {
		return ""
	}
	return c.selector.MediaType
}

func (c recipe) copies() bool {
	return c.selector != nil && c.selector.Operation == sourcev1.OCILayerCopy
}

// build pulls the artifact, by its digest, and stores it.
func (r *Reconciler) build(ctx context.Context, obj *sourcev1.OCIRepository, o *observed) (*meta.Artifact, *plan.Problem) {
	return r.make(ctx, obj, o.repo, recipe{o.Upstream, obj.Spec.LayerSelector, obj.Spec.Ignore})
}

func (r *Reconciler) make(ctx context.Context, obj *sourcev1.OCIRepository, repo *oci.Repository, c recipe) (*meta.Artifact, *plan.Problem) {
	digest := plan.OCIDigestOf(c.revision)
	manifest, err := repo.Manifest(ctx, digest)
	if err != nil {
		return nil, pullProblem(obj, err)
	}
	layer, problem := pick(obj, manifest, c.mediaType())
	if problem != nil {
		return nil, problem
	}
	file := store.Path(sourcev1.OCIRepositoryKind, obj.Namespace, obj.Name, digest+".tar.gz")
	written, problem := r.store(ctx, obj, repo, layer, c, file)
	if problem != nil {
		return nil, problem
	}
	return attempt.New(obj.Status.Artifact, c.revision, file, written, plan.OCIMetadata(manifest.Annotations)), nil
}

// pick is the layer that is asked for: the first of a media type, or the first.
func pick(obj *sourcev1.OCIRepository, m *oci.Manifest, mediaType string) (oci.Layer, *plan.Problem) {
	for _, l := range m.Layers {
		if mediaType == "" || l.MediaType == mediaType {
			return l, nil
		}
	}
	if mediaType == "" {
		return oci.Layer{}, plan.FetchProblem(sourcev1.OCILayerOperationFailedReason,
			"%s: %s has no layer; push an artifact with content", redact.URL(obj.Spec.URL), m.Digest)
	}
	return oci.Layer{}, plan.FetchProblem(sourcev1.OCILayerOperationFailedReason,
		"%s: none of the %d layers of %s has the media type %q of spec.layerSelector.mediaType; correct it, or push such a layer",
		redact.URL(obj.Spec.URL), len(m.Layers), m.Digest, mediaType)
}

// Restore implements [attempt.Kind]: it pulls the advertised artifact again by its digest, which helps when its tag is gone or
// another one may not be used. When the registry does not answer, neither does this.
func (r *Reconciler) Restore(ctx context.Context, obj *sourcev1.OCIRepository) bool {
	var o observed
	defer func() { o.close() }()
	if r.connect(ctx, obj, &o) != nil || plan.OCIDigestOf(obj.Status.Artifact.Revision) == "" {
		return false
	}
	again, problem := r.make(ctx, obj, o.repo,
		recipe{obj.Status.Artifact.Revision, obj.Status.ObservedLayerSelector, obj.Status.ObservedIgnore})
	return problem == nil && again.Digest == obj.Status.Artifact.Digest
}
