package helmrepository

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// act takes the step that was decided on.
func (r *Reconciler) act(ctx context.Context, obj *sourcev1.HelmRepository, o *observed) Outcome {
	out := attempt.Start[*sourcev1.HelmRepository](o.Observed)
	switch out.Step {
	case plan.Keep:
		out.Message = plan.KeptIndexMessage(obj.Status.Conditions, o.Artifact.Revision)
		if !o.answer.Unchanged {
			r.tags.learn(obj, o.Upstream, o.answer.Tag)
		}
	case plan.Build:
		artifact, notice, problem := r.store(ctx, obj, o)
		if out.Problem = problem; problem != nil {
			return out
		}
		r.tags.learn(obj, o.Upstream, o.answer.Tag)
		out.Artifact, out.Stored, out.Made = artifact, true, true
		out.Message, out.Change = plan.IndexMessage(o.Upstream, notice), change(obj, artifact)
	}
	return out
}

// store checks the index and stores it, byte for byte. notice says what in it is of no use.
func (r *Reconciler) store(ctx context.Context, obj *sourcev1.HelmRepository, o *observed) (_ *meta.Artifact, notice string, _ *plan.Problem) {
	index, err := helmrepo.Read(o.index)
	if err != nil {
		return nil, "", helmrepo.Problem(obj.Spec.URL, sourcev1.IndexationFailedReason, err)
	}
	if _, err := o.index.Seek(0, io.SeekStart); err != nil {
		return nil, "", plan.StorageProblem(sourcev1.ReadOperationFailedReason, "the index cannot be read again")
	}
	file := store.Path(sourcev1.HelmRepositoryKind, obj.Namespace, obj.Name,
		fmt.Sprintf("index-%s.yaml", strings.TrimPrefix(o.Upstream, "sha256:")))
	written, err := r.Store.Write(ctx, file, func(w io.Writer) error {
		_, err := io.Copy(w, o.index)
		return err
	})
	if err != nil {
		return nil, "", plan.StorageProblem(sourcev1.ArchiveOperationFailedReason, "%s: %v", o.Upstream, err)
	}
	r.Indexes.Put(written.Digest, index)
	return attempt.New(obj.Status.Artifact, o.Upstream, file, written, nil), index.Notice(), nil
}

// change is what is said about a new index.
func change(obj *sourcev1.HelmRepository, a *meta.Artifact) report.Change {
	return report.Change{Message: fmt.Sprintf("stored fetched index of size %s from '%s'", plan.ReadableSize(*a.Size), redact.URL(obj.Spec.URL))}
}
