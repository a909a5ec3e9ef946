package helmchart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/chart"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// act takes the step that was decided on.
func (r *Reconciler) act(ctx context.Context, obj *sourcev1.HelmChart, o observed) Outcome {
	out := attempt.Start[*sourcev1.HelmChart](o.Observed)
	out.Decision, out.Change = plan.DecideChart(o.ChartObserved), change()
	out.Upstream, out.Revision = "", o.Upstream // a source's revision is none that a chart could be behind of
	status := obj.Status.DeepCopy()
	if out.Step == plan.Build {
		out.Made, out.Problem = r.build(ctx, obj, o, status)
		out.Artifact, out.Stored = status.Artifact, out.Stored || out.Problem == nil
	}
	if out.Problem == nil {
		out.Reason, out.Message = sourcev1.ChartPackageSucceededReason, packaged(*status)
		out.Done = fmt.Sprintf("packaged chart %s@%s", status.ObservedChartName, status.Artifact.Revision)
		out.Source = fmt.Sprintf("%s/%s/%s", obj.Spec.SourceRef.Kind, obj.Namespace, obj.Spec.SourceRef.Name)
		out.Note = func(obj *sourcev1.HelmChart) { note(obj, *status) }
	}
	return out
}

// build loads the chart, and packages it if that is a chart that is not stored yet, which it reports.
func (r *Reconciler) build(
	ctx context.Context, obj *sourcev1.HelmChart, o observed, status *sourcev1.HelmChartStatus,
) (made bool, _ *plan.Problem) {
	source, err := r.Store.ReadVerified(o.source.Path, o.source.Digest)
	if err != nil {
		return false, sourceProblem(err, o.sourceReady)
	}
	defer func() { _ = source.Close() }() // it was only read
	scratch, dir, done, err := r.Store.Scratch()
	if err != nil {
		return false, plan.StorageProblem(sourcev1.DirCreationFailedReason, "%v", err)
	}
	defer func() {
		if err := done(); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "a scratch folder stays until the next start")
		}
	}()
	loaded, err := chart.Load(source, scratch, dir, chart.Options{
		Path: obj.Spec.Chart, ValuesFiles: obj.Spec.ValuesFiles, IgnoreMissing: obj.Spec.IgnoreMissingValuesFiles,
	})
	if err != nil {
		return false, chartProblem(err)
	}
	version, problem := plan.ChartVersion(obj.Spec, obj.Generation, loaded.Version(), o.source.Revision)
	if problem != nil {
		return false, problem
	}
	if plan.RebuildChart(o.ChartObserved) || status.Artifact.Revision != version || status.ObservedChartName != loaded.Name() {
		loaded.SetVersion(version)
		if problem := r.write(ctx, obj, loaded, dir, status); problem != nil {
			return false, problem
		}
		made = true
	}
	status.ObservedSourceArtifactRevision = o.source.Revision
	return made, nil
}

// write stores a chart and notes it in the status.
func (r *Reconciler) write(
	ctx context.Context, obj *sourcev1.HelmChart, c *chart.Chart, dir string, status *sourcev1.HelmChartStatus,
) *plan.Problem {
	file := store.Path(sourcev1.HelmChartKind, obj.Namespace, obj.Name, fmt.Sprintf("%s-%s.tgz", c.Name(), c.Version()))
	written, err := r.Store.Write(ctx, file, func(w io.Writer) error { return c.Write(w, dir) })
	if err != nil {
		return plan.BuildProblem(plan.ReasonChartPackageError, "%v", err)
	}
	status.Artifact = attempt.New(status.Artifact, c.Version(), file, written, nil)
	status.ObservedChartName = c.Name()
	status.ObservedValuesFiles = c.ValuesFiles
	return nil
}

// sourceProblem is why the source's artifact cannot be read. When that is lost, as all are when the volume is new, a
// source that is ready stores it anew within moments.
func sourceProblem(err error, sourceReady bool) *plan.Problem {
	lost := errors.Is(err, fs.ErrNotExist) || errors.Is(err, store.ErrDigest)
	switch {
	case lost && sourceReady:
		return plan.TransientProblem(plan.ReasonSourceUnavailable, "the source's artifact is being stored anew")
	case lost:
		return plan.AwaitedProblem(plan.ReasonSourceUnavailable, "the source's artifact is lost, and the source cannot be fetched; see its conditions")
	}
	return plan.AwaitedProblem(plan.ReasonSourceUnavailable, "the source's artifact cannot be read: %v", err)
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
