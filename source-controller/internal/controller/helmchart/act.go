package helmchart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// made is the chart that an attempt ends with: what goes into the status.
type made struct {
	artifact *meta.Artifact
	// name is the chart's, valuesFiles are those that its values are from, source is the revision of its source.
	name        string
	valuesFiles []string
	source      string
	// anew is set when it was stored now, verified says whose signature it has.
	anew     bool
	verified *plan.Verified
}

// before is the chart that an object has.
func before(obj *sourcev1.HelmChart) made {
	s := obj.Status
	return made{artifact: s.Artifact, name: s.ObservedChartName, valuesFiles: s.ObservedValuesFiles, source: s.ObservedSourceArtifactRevision}
}

// act takes the step that was decided on.
func (r *Reconciler) act(ctx context.Context, obj *sourcev1.HelmChart, o *observed) Outcome {
	out := attempt.Start[*sourcev1.HelmChart](o.Observed)
	out.Decision, out.Change = plan.DecideChart(o.ChartObserved), Change()
	out.Upstream, out.Revision = "", o.Upstream // a source's revision is none that a chart could be behind of
	chart := before(obj)
	switch out.Step {
	case plan.Build:
		chart, out.Problem = r.make(ctx, obj, o, chart)
	case plan.Keep:
		chart.verified, out.Problem = r.verified(ctx, obj, o)
	}
	if out.Problem != nil || out.Step == plan.Fail {
		return out
	}
	out.Artifact, out.Stored, out.Made, out.Verified = chart.artifact, true, chart.anew, chart.verified
	out.Reason, out.Message = done(obj.Spec, chart)
	verb := "pulled"
	if plan.Packaged(obj.Spec) {
		verb = "packaged"
	}
	out.Done = fmt.Sprintf("%s chart %s@%s", verb, chart.name, chart.artifact.Revision)
	out.Source = fmt.Sprintf("%s/%s/%s", obj.Spec.SourceRef.Kind, obj.Namespace, obj.Spec.SourceRef.Name)
	out.Note = func(obj *sourcev1.HelmChart) { note(obj, chart) }
	return out
}

// make makes the chart, in a folder that nobody else sees, unless it is stored already.
func (r *Reconciler) make(ctx context.Context, obj *sourcev1.HelmChart, o *observed, has made) (made, *plan.Problem) {
	scratch, dir, done, err := r.Store.Scratch()
	if err != nil {
		return has, plan.StorageProblem(sourcev1.DirCreationFailedReason, "%v", err)
	}
	defer func() {
		if err := done(); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "a scratch folder stays until the next start")
		}
	}()
	w := work{r: r, obj: obj, seen: o, has: has, scratch: scratch, dir: dir}
	if o.repository != nil {
		return w.pull(ctx)
	}
	return w.build(ctx)
}

// work is the making of one chart.
type work struct {
	r    *Reconciler
	obj  *sourcev1.HelmChart
	seen *observed
	// has is the chart that the object has.
	has     made
	scratch *os.Root
	dir     string
}

// stored reports whether the chart of a name and a version, as they are written into the artifact, is there already.
func (w *work) stored(name, version string) bool {
	return !plan.RebuildChart(w.seen.ChartObserved) && w.has.artifact.Revision == version && w.has.name == name
}

// store stores what fill writes as the chart of a name and a version.
func (w *work) store(ctx context.Context, name, version string, fill func(io.Writer) error) *plan.Problem {
	file := store.Path(sourcev1.HelmChartKind, w.obj.Namespace, w.obj.Name, fmt.Sprintf("%s-%s.tgz", name, version))
	written, err := w.r.Store.Write(ctx, file, fill)
	if err != nil {
		return plan.BuildProblem(plan.ReasonChartPackageError, "%v", err)
	}
	w.has.artifact = attempt.New(w.obj.Status.Artifact, version, file, written, nil)
	w.has.name, w.has.anew, w.has.valuesFiles = name, true, nil
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
