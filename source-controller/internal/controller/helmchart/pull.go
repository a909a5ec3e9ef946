package helmchart

import (
	"context"
	"errors"
	"io"
	"os"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/source-controller/internal/chart"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// pull downloads a chart from a repository. It is stored as it is served, unless it gets other values.
func (w *work) pull(ctx context.Context) (made, *plan.Problem) {
	ctx, cancel := context.WithTimeout(ctx, patience(w.seen.repository))
	defer cancel()
	if w.seen.registry != nil {
		return w.pullRegistry(ctx)
	}
	return w.pullIndexed(ctx)
}

// keep stores a chart that was downloaded into a file. version is the one that it is listed under.
func (w *work) keep(ctx context.Context, file *os.File, version string) *plan.Problem {
	loaded, err := chart.LoadArchive(file)
	if err != nil {
		return plan.FetchProblem(plan.ReasonChartPullError, "%s: the chart %s %s: %v",
			redact.URL(w.seen.repository.Spec.URL), w.obj.Spec.Chart, version, err)
	}
	full, problem := plan.ChartVersion(w.obj.Spec, w.obj.Generation, version, "")
	if problem != nil {
		return problem
	}
	if plan.Packaged(w.obj.Spec) {
		return w.write(ctx, loaded, full)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return plan.StorageProblem(sourcev1.ReadOperationFailedReason, "the chart cannot be read again")
	}
	return w.store(ctx, loaded.Name(), full, func(into io.Writer) error {
		_, err := io.Copy(into, file)
		return err
	})
}

// temporary is a new file in the scratch folder.
func temporary(folder *os.Root, name string) (*os.File, *plan.Problem) {
	file, err := folder.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, plan.StorageProblem(sourcev1.DirCreationFailedReason, "a temporary file cannot be created: %v", cause(err))
	}
	return file, nil
}

// cause is what went wrong, without the name of a temporary file.
func cause(err error) error {
	var file *os.PathError
	if errors.As(err, &file) {
		return file.Err
	}
	return err
}
