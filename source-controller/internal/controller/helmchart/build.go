package helmchart

import (
	"context"
	"errors"
	"fmt"
	"io"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/source-controller/internal/chart"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// build packages a chart out of the artifact of its source.
func (w *work) build(ctx context.Context) (made, *plan.Problem) {
	from := w.seen.source
	source, err := w.r.Store.ReadVerified(from.Path, from.Digest)
	if err != nil {
		return w.has, sourceProblem(err, w.seen.sourceReady)
	}
	defer func() { _ = source.Close() }() // it was only read
	loaded, err := chart.Load(source, w.scratch, w.dir, w.obj.Spec.Chart)
	if err != nil {
		return w.has, chartProblem(err)
	}
	version, problem := plan.ChartVersion(w.obj.Spec, w.obj.Generation, loaded.Version(), from.Revision)
	if problem != nil {
		return w.has, problem
	}
	w.has.source = from.Revision
	if w.stored(loaded.Name(), version) {
		return w.has, nil
	}
	added, err := loaded.Complete(ctx, w.repositories())
	if err != nil {
		return w.has, chartProblem(err)
	}
	if added > 0 {
		ctrl.LoggerFrom(ctx).V(logkey.Debug).Info(fmt.Sprintf("resolved %d chart dependencies", added))
	}
	return w.has, w.write(ctx, loaded, version)
}

// write packages a chart with its values files, as a version.
func (w *work) write(ctx context.Context, loaded *chart.Chart, version string) *plan.Problem {
	if err := loaded.Merge(w.obj.Spec.ValuesFiles, w.obj.Spec.IgnoreMissingValuesFiles); err != nil {
		return chartProblem(err)
	}
	loaded.SetVersion(version)
	problem := w.store(ctx, loaded.Name(), version, func(into io.Writer) error { return loaded.Write(into, w.dir) })
	if problem == nil {
		w.has.valuesFiles = loaded.ValuesFiles
	}
	return problem
}

// chartProblem is what the user reads. What only another commit or spec can mend is not tried again: both are watched.
func chartProblem(err error) *plan.Problem {
	p := plan.BuildProblem(plan.ReasonChartPackageError, "%v", err)
	switch {
	case errors.Is(err, chart.ErrDependency):
		p.Reason = plan.ReasonDependencyBuildError
	case errors.Is(err, chart.ErrValuesFiles):
		p.Reason, p.Terminal = plan.ReasonValuesFilesError, true
	case errors.Is(err, chart.ErrReference):
		p.Reason, p.Terminal = plan.ReasonInvalidChartReference, true
	}
	return p
}
