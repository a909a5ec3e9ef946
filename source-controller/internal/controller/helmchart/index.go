package helmchart

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// patience is how long a repository may take.
func patience(repository *sourcev1.HelmRepository) time.Duration {
	if t := repository.GetTimeout(); t > 0 {
		return t
	}
	return time.Minute
}

// pullIndexed downloads a chart from a repository with an index.
func (w *work) pullIndexed(ctx context.Context) (made, *plan.Problem) {
	repository, source := w.seen.repository, w.seen.source
	found, problem := w.r.find(source, w.seen.sourceReady, w.obj.Spec.Chart, w.obj.Spec.Version)
	if problem != nil {
		return w.has, problem
	}
	full, problem := plan.ChartVersion(w.obj.Spec, w.obj.Generation, found.Version, "")
	if problem != nil {
		return w.has, problem
	}
	w.has.source = source.Revision
	if w.stored(found.Name, full) {
		return w.has, nil
	}
	file, problem := temporary(w.scratch, "chart.tgz")
	if problem != nil {
		return w.has, problem
	}
	defer func() { _ = file.Close() }() // it is removed
	access, problem := helmrepo.AccessOf(ctx, w.r.Secrets, repository)
	if problem != nil {
		return w.has, problem
	}
	n, err := w.r.Repositories.Chart(ctx, access, found, file)
	if w.seen.downloaded = n; err != nil {
		return w.has, helmrepo.Problem(repository.Spec.URL, plan.ReasonChartPullError, err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return w.has, plan.StorageProblem(sourcev1.ReadOperationFailedReason, "the chart cannot be read again")
	}
	return w.has, w.keep(ctx, file, found.Version)
}

// find looks a chart up in the index that a repository has stored.
func (r *Reconciler) find(index *meta.Artifact, ready bool, name, version string) (*helmrepo.Version, *plan.Problem) {
	file, err := r.Store.ReadVerified(index.Path, index.Digest)
	if err != nil {
		return nil, sourceProblem(err, ready)
	}
	defer func() { _ = file.Close() }() // it was only read
	found, err := r.lookUp(index.Digest, file, name, version)
	switch {
	case errors.Is(err, helmrepo.ErrNoChart), errors.Is(err, helmrepo.ErrNoVersion):
		p := plan.FetchProblem(plan.ReasonInvalidChartReference, "%v", err)
		p.Terminal = true // another index or spec can mend it, and both are watched
		return nil, p
	case err != nil:
		return nil, plan.FetchProblem(plan.ReasonChartPullError, "%v", err)
	}
	return found, nil
}

func (r *Reconciler) lookUp(digest string, file *os.File, name, version string) (*helmrepo.Version, error) {
	index, err := r.Indexes.Get(digest, file)
	if err != nil {
		return nil, err
	}
	return index.Find(file, name, version)
}
