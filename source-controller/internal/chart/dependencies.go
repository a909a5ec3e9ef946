package chart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/Masterminds/semver/v3"
	"helm.sh/helm/v3/pkg/chart"
)

// maxNesting bounds charts that depend on charts in the same source.
const maxNesting = 8

// Repositories downloads charts from Helm repositories.
type Repositories interface {
	// Chart returns the newest packaged chart in a range of versions from a repository at an http, https or oci address. The error
	// is one for the user.
	Chart(ctx context.Context, repository, name, version string) (io.ReadSeekCloser, error)
}

// Complete adds the dependencies that Chart.yaml names and charts/ does not have: those with a file:// address come from the same
// source, those of repositories from there, in the versions of Chart.lock if that goes with Chart.yaml. It returns how many it
// added.
func (c *Chart) Complete(ctx context.Context, repositories Repositories) (added int, err error) {
	defer guard(&err, "a dependency of %q makes Helm's loader fail", c.Name())
	d := &dependencies{budget: c.budget, repositories: repositories}
	if s, ok := c.files.(*sources); ok {
		d.local = s
	}
	err = d.complete(ctx, c.chart, c.at, 0)
	return d.added, err
}

// dependencies adds charts to a chart.
type dependencies struct {
	local        *sources
	repositories Repositories
	budget       *budget
	added        int
}

// complete adds what a chart misses. at is where it lies in the source.
func (d *dependencies) complete(ctx context.Context, c *chart.Chart, at string, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("%w: charts depend on one another more than %d deep", ErrDependency, maxNesting)
	}
	wanted := missing(c)
	if d.budget.charts -= len(wanted); d.budget.charts < 0 {
		return fmt.Errorf("%w: there are more than %d missing", ErrDependency, maxCharts)
	}
	fetched := d.fetch(ctx, wanted)
	defer fetched.close()
	for i, want := range wanted {
		dep, err := d.one(ctx, want, fetched[i], at, depth)
		if err != nil {
			return fmt.Errorf("%w: %q of chart %q: %w", ErrDependency, want.Name, c.Name(), err)
		}
		if taken(c, dep.Name()) && want.Alias != "" {
			// Two versions of a chart cannot lie in the same folder; Helm takes the other name for the chart's own.
			dep.Metadata.Name = want.Alias
		}
		c.AddDependency(dep)
		d.added++
	}
	return nil
}

// missing are the dependencies that a chart does not have.
func missing(c *chart.Chart) []*chart.Dependency {
	var wanted []*chart.Dependency
	for _, want := range requested(c) {
		if want != nil && !has(append(c.Dependencies(), placeholders(wanted)...), want) {
			wanted = append(wanted, want)
		}
	}
	return wanted
}

// placeholders are charts that will be there.
func placeholders(wanted []*chart.Dependency) []*chart.Chart {
	var all []*chart.Chart
	for _, w := range wanted {
		if _, err := semver.NewVersion(w.Version); err == nil {
			all = append(all, &chart.Chart{Metadata: &chart.Metadata{Name: w.Name, Version: w.Version}})
		}
	}
	return all
}

// has reports whether one of some charts is a dependency. One of its name counts whatever its version says, since its author put it
// there; but where a chart goes by other names, there may be several versions of it.
func has(charts []*chart.Chart, want *chart.Dependency) bool {
	for _, c := range charts {
		if c.Name() == want.Name && (want.Alias == "" || satisfies(c, want) == nil) || want.Alias != "" && c.Name() == want.Alias {
			return true
		}
	}
	return false
}

func taken(c *chart.Chart, name string) bool {
	for _, dep := range c.Dependencies() {
		if dep.Name() == name {
			return true
		}
	}
	return false
}

// one is a dependency: from the source, or from what was fetched.
func (d *dependencies) one(ctx context.Context, want *chart.Dependency, got download, at string, depth int) (*chart.Chart, error) {
	if got.err != nil {
		return nil, got.err
	}
	if got.file == nil {
		return d.fromSource(ctx, want, at, depth)
	}
	dep, err := d.budget.load(got.file)
	if err != nil {
		return nil, fmt.Errorf("the chart in %s: %w", shownRepository(want.Repository), err)
	}
	return dep, satisfies(dep, want)
}

func (d *dependencies) fromSource(ctx context.Context, want *chart.Dependency, at string, depth int) (*chart.Chart, error) {
	relative := strings.TrimPrefix(want.Repository, "file://")
	dir := path.Join(at, relative)
	switch {
	case d.local == nil:
		return nil, errors.New("it is not in the packaged chart")
	case want.Repository == "":
		return nil, errors.New("it is not in charts/, and Chart.yaml names no repository of it; run `helm dependency update` and commit charts/")
	case path.IsAbs(relative), dir == "..", strings.HasPrefix(dir, "../"):
		return nil, fmt.Errorf("%q is outside the source", want.Repository)
	}
	if err := d.local.unpack(dir); err != nil {
		return nil, err
	}
	dep, err := d.local.load(dir)
	if err != nil {
		return nil, fmt.Errorf("at %q in the source: %w", dir, err)
	}
	if err := satisfies(dep, want); err != nil {
		return nil, err
	}
	return dep, d.complete(ctx, dep, dir, depth+1)
}

func satisfies(dep *chart.Chart, want *chart.Dependency) error {
	if dep.Name() != want.Name {
		return fmt.Errorf("the chart there is %q", dep.Name())
	}
	if want.Version == "" {
		return nil
	}
	constraint, err := semver.NewConstraint(want.Version)
	if err != nil {
		return fmt.Errorf("version %q is not a version range", want.Version)
	}
	version, err := semver.NewVersion(dep.Metadata.Version)
	if err != nil || !constraint.Check(version) {
		return fmt.Errorf("version %s there does not match %q", dep.Metadata.Version, want.Version)
	}
	return nil
}

// shownRepository is a repository without what may be a credential.
func shownRepository(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return "an alias"
	}
	host, _, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	return scheme + "://" + host
}
