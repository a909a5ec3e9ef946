package helmrepository

import (
	"context"
	"errors"
	"os"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// observed is what an attempt knows before it decides.
type observed struct {
	plan.Observed

	// answer is what the server said, and index the file in which its index is; nil if that is the one that is stored.
	answer helmrepo.Answer
	index  *os.File
	done   func() error
}

func (o *observed) close(ctx context.Context) {
	var err error
	if o.index != nil {
		err = o.index.Close()
	}
	if o.done != nil {
		err = errors.Join(err, o.done())
	}
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "a scratch folder stays until the next start")
	}
}

// observe gathers what decides about an object. The server is asked last, once: for nothing but whether the index is another one,
// if it can say so.
func (r *Reconciler) observe(ctx context.Context, obj *sourcev1.HelmRepository, known plan.Observed) *observed {
	o := &observed{Observed: known}
	o.SameContent = true // an index is stored as it is
	if o.Problem = plan.ValidateHelmRepository(obj.Spec); o.Problem != nil {
		return o
	}
	access, problem := helmrepo.AccessOf(ctx, r.Secrets, obj)
	if problem != nil {
		o.Problem = problem
		return o
	}
	o.Problem = r.fetch(ctx, obj, access, o)
	return o
}

// fetch asks for the index, and downloads one that is not stored.
func (r *Reconciler) fetch(ctx context.Context, obj *sourcev1.HelmRepository, access helmrepo.Access, o *observed) *plan.Problem {
	folder, _, done, err := r.Store.Scratch()
	if err != nil {
		return plan.StorageProblem(sourcev1.DirCreationFailedReason, "%v", err)
	}
	o.done = done
	if o.index, err = folder.OpenFile("index.yaml", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return plan.StorageProblem(sourcev1.DirCreationFailedReason, "a temporary file cannot be created")
	}
	before := ""
	if o.Stored {
		before = r.tags.of(obj)
	}
	o.answer, err = r.Repositories.Index(ctx, access, before, o.index)
	switch {
	case err != nil:
		return helmrepo.Problem(obj.Spec.URL, meta.FailedReason, err)
	case o.answer.Unchanged:
		o.Upstream = o.Artifact.Revision
	default:
		o.Upstream = o.answer.Digest
	}
	return nil
}
