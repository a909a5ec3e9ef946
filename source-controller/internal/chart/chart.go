// Package chart makes Helm charts out of source artifacts, and of what Helm repositories serve. It is the only package that
// imports Helm.
//
// [Load] unpacks what it needs of a source into a scratch folder, and loads the chart with Helm's own loader; [LoadArchive] loads
// a packaged one. [Chart.Complete] adds the dependencies that are missing, [Chart.Merge] replaces the values by those of values
// files, and [Chart.Write] packages the chart, byte for byte the same for the same content.
package chart

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// Errors that a caller tells apart. What wraps them is a message for the user that quotes no file content.
var (
	// ErrReference: there is no chart at the path.
	ErrReference = errors.New("no usable chart")
	// ErrValuesFiles: a values file is missing or is none.
	ErrValuesFiles = errors.New("values files cannot be merged")
	// ErrDependency: a dependency cannot be had.
	ErrDependency = errors.New("dependency cannot be built")
)

// Chart is a chart. It is for one goroutine.
type Chart struct {
	// ValuesFiles are those that were merged.
	ValuesFiles []string

	chart *chart.Chart
	// files is what the chart came from: where values files and local dependencies are; at is where the chart is in it.
	files files
	at    string
	// budget bounds it, with all its dependencies.
	budget *budget
}

// files are where a chart's values files are.
type files interface {
	// values reads a values file, by its cleaned path.
	values(file string) ([]byte, error)
	// place is what the files are in, in messages.
	place() string
}

// names of charts become file names and URLs.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,249}$`)

// Load loads a chart out of a source: a folder, or a packaged chart, at a path. The source is a tar.gz that is read from its
// start as often as needed. scratch is an empty folder, and dir its path.
func Load(source io.ReadSeeker, scratch *os.Root, dir, at string) (c *Chart, err error) {
	defer guard(&err, "%q makes Helm's loader fail", at)
	s := &sources{source: source, scratch: scratch, dir: dir}
	cleaned := clean(at)
	if err := s.unpack(cleaned); err != nil {
		return nil, err
	}
	loaded, err := s.load(cleaned)
	if err != nil {
		return nil, fmt.Errorf("%w at %q in the source: %w", ErrReference, at, err)
	}
	return &Chart{chart: loaded, files: s, at: cleaned, budget: &budget{bytes: maxBytes, charts: maxCharts}}, nil
}

// guard turns a panic into an error: Helm's loader is made for charts of people who mean well.
func guard(err *error, format string, args ...any) {
	if recover() != nil {
		*err = fmt.Errorf("%w: %s", ErrReference, fmt.Sprintf(format, args...))
	}
}

// Name is the chart's name.
func (c *Chart) Name() string { return c.chart.Metadata.Name }

// Version is the version in Chart.yaml.
func (c *Chart) Version() string { return c.chart.Metadata.Version }

// SetVersion changes the version that the chart is packaged with.
func (c *Chart) SetVersion(version string) { c.chart.Metadata.Version = version }

// sources is the part of a source that was unpacked.
type sources struct {
	source  io.ReadSeeker
	scratch *os.Root
	dir     string
	seen    []string
}

func (s *sources) load(at string) (*chart.Chart, error) {
	info, err := s.scratch.Stat(filepath.FromSlash(at))
	if err != nil {
		return nil, errors.New("there is nothing")
	}
	file := filepath.Join(s.dir, filepath.FromSlash(at))
	if info.IsDir() {
		if _, err := s.scratch.Stat(filepath.Join(filepath.FromSlash(at), "Chart.yaml")); err != nil {
			return nil, errors.New("it has no Chart.yaml")
		}
	}
	loaded, err := loader.Load(file)
	if err != nil {
		return nil, errors.New("the loader of Helm refuses it; run `helm lint` on it")
	}
	return loaded, validate(loaded)
}

// validate refuses what no chart can be.
func validate(loaded *chart.Chart) error {
	if err := loaded.Validate(); err != nil {
		return fmt.Errorf("its Chart.yaml is not valid: %w", err)
	}
	if !validName.MatchString(loaded.Metadata.Name) {
		return errors.New("its name may have only letters, digits, '.', '_' and '-'")
	}
	return nil
}

func (s *sources) place() string { return "the source" }

func clean(p string) string {
	if cleaned := path.Clean("/" + p)[1:]; cleaned != "" {
		return cleaned
	}
	return "."
}
