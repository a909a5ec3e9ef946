package chart

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
)

// SetFileLimit bounds each file of a chart, in bytes. It is Helm's own limit, which is the process': it is to be set at start.
func SetFileLimit(limit int64) { loader.MaxDecompressedFileSize = limit }

// LoadArchive loads a packaged chart, as Helm repositories serve it. Its values files are those in it.
func LoadArchive(packaged io.ReadSeeker) (c *Chart, err error) {
	defer guard(&err, "it makes Helm's loader fail")
	budget := &budget{bytes: maxBytes, charts: maxCharts}
	loaded, err := budget.load(packaged)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReference, err)
	}
	return &Chart{chart: loaded, files: inside{loaded}, budget: budget}, nil
}

// inside are the files in a packaged chart.
type inside struct{ chart *chart.Chart }

func (inside) place() string { return "the chart" }

// values finds a file as Flux does: the chart's own values, or one that has no other meaning in it.
func (i inside) values(file string) ([]byte, error) {
	list := i.chart.Files
	if file == chartutil.ValuesfileName {
		list = i.chart.Raw
	}
	for _, f := range list {
		if f.Name == file {
			return f.Data, nil
		}
	}
	return nil, fs.ErrNotExist
}

// maxCharts is how many charts one may depend on, all together.
const maxCharts = 100

// budget is what a chart may still have, with all that it depends on: bytes when unpacked, and charts.
type budget struct {
	bytes  int64
	charts int
}

// load loads a packaged chart within the budget.
func (b *budget) load(packaged io.ReadSeeker) (*chart.Chart, error) {
	if err := b.measure(packaged); err != nil {
		return nil, err
	}
	if _, err := packaged.Seek(0, io.SeekStart); err != nil {
		return nil, errors.New("it cannot be read again")
	}
	loaded, err := loader.LoadArchive(packaged)
	if err != nil {
		return nil, errors.New("the loader of Helm refuses it; run `helm lint` on it")
	}
	return loaded, validate(loaded)
}

// measure reads an archive through, so that nothing is held in memory of one that is too large, and it is said what is.
func (b *budget) measure(packaged io.Reader) error {
	zr, err := gzip.NewReader(packaged)
	if err != nil {
		return errNoArchive
	}
	files := 0
	// What lies around the files may be no more than they.
	limited := &io.LimitedReader{R: zr, N: 2*b.bytes + maxFiles}
	for tr := tar.NewReader(limited); ; {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if limited.N <= 0 {
			return fmt.Errorf("it has more than %d bytes when it is unpacked, with what it depends on", int64(maxBytes))
		}
		if err != nil {
			return errNoArchive
		}
		files++
		switch b.bytes -= header.Size; {
		case header.Size > loader.MaxDecompressedFileSize:
			return fmt.Errorf("a file in it has more than %d bytes; raise --helm-chart-file-max-size", loader.MaxDecompressedFileSize)
		case b.bytes < 0 || header.Size < 0:
			return fmt.Errorf("it has more than %d bytes when it is unpacked, with what it depends on", int64(maxBytes))
		case files > maxFiles:
			return fmt.Errorf("it has more than %d files", maxFiles)
		}
	}
}

var errNoArchive = errors.New("it is not a packaged chart, or not a whole one")
