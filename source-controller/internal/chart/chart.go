// Package chart makes Helm charts out of source artifacts. It is the only package that imports Helm.
//
// [Load] unpacks what it needs of a source into a scratch folder, loads the chart with Helm's own loader, and completes
// it: dependencies from the same source, and values files. [Chart.Write] packages it, byte for byte the same for the
// same content.
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
	// ErrDependency: a dependency is not in the source.
	ErrDependency = errors.New("dependency cannot be built")
)

// Options say which chart, and with what.
type Options struct {
	// Path of the chart in the source: a folder, or a packaged chart.
	Path string
	// ValuesFiles, relative to the source's root, replace the chart's values.yaml; a later one wins. With
	// IgnoreMissing those that do not exist are left out.
	ValuesFiles   []string
	IgnoreMissing bool
}

// Chart is a complete chart. It is for one goroutine.
type Chart struct {
	// ValuesFiles are those that were merged.
	ValuesFiles []string

	chart *chart.Chart
}

// names of charts become file names and URLs.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,249}$`)

// Load loads a chart out of a source, a tar.gz that is read from its start as often as needed. scratch is an empty
// folder, and dir its path.
func Load(source io.ReadSeeker, scratch *os.Root, dir string, o Options) (c *Chart, err error) {
	defer func() {
		// Helm's loader is made for charts of people who mean well.
		if recover() != nil {
			c, err = nil, fmt.Errorf("%w: %q makes Helm's loader fail", ErrReference, o.Path)
		}
	}()
	s := &sources{source: source, scratch: scratch, dir: dir}
	at := clean(o.Path)
	if err := s.unpack(append([]string{at}, cleanAll(o.ValuesFiles)...)...); err != nil {
		return nil, err
	}
	loaded, err := s.load(at)
	if err != nil {
		return nil, fmt.Errorf("%w at %q in the source: %w", ErrReference, o.Path, err)
	}
	if err := s.complete(loaded, at, 0); err != nil {
		return nil, err
	}
	c = &Chart{chart: loaded}
	return c, c.mergeValues(s, o)
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
	if err := loaded.Validate(); err != nil {
		return nil, fmt.Errorf("its Chart.yaml is not valid: %w", err)
	}
	if !validName.MatchString(loaded.Metadata.Name) {
		return nil, errors.New("its name may have only letters, digits, '.', '_' and '-'")
	}
	return loaded, nil
}

func clean(p string) string {
	if cleaned := path.Clean("/" + p)[1:]; cleaned != "" {
		return cleaned
	}
	return "."
}

func cleanAll(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, clean(p))
	}
	return out
}
