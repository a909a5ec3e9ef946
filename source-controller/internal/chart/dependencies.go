package chart

import (
	"fmt"
	"path"
	"strings"

	"github.com/Masterminds/semver/v3"
	"helm.sh/helm/v3/pkg/chart"
)

// maxNesting bounds charts that depend on charts in the same source.
const maxNesting = 8

// complete adds the dependencies that Chart.yaml names and charts/ does not have: those with a file:// address come from
// the same source, all others are refused. at is where the chart lies in the source.
func (s *sources) complete(c *chart.Chart, at string, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("%w: charts depend on one another more than %d deep", ErrDependency, maxNesting)
	}
	vendored := map[string]bool{}
	for _, dep := range c.Dependencies() {
		vendored[dep.Name()] = true
	}
	for _, want := range c.Metadata.Dependencies {
		if want == nil || vendored[want.Name] {
			continue
		}
		dep, err := s.dependency(want, at, depth)
		if err != nil {
			return fmt.Errorf("%w: %q of chart %q: %w", ErrDependency, want.Name, c.Name(), err)
		}
		c.AddDependency(dep)
		vendored[want.Name] = true
	}
	return nil
}

func (s *sources) dependency(want *chart.Dependency, at string, depth int) (*chart.Chart, error) {
	relative, local := strings.CutPrefix(want.Repository, "file://")
	if !local {
		return nil, fmt.Errorf("it is not in charts/, and dependencies from %s are not fetched; "+
			"run `helm dependency update` and commit charts/", shownRepository(want.Repository))
	}
	dir := path.Join(at, relative)
	if path.IsAbs(relative) || dir == ".." || strings.HasPrefix(dir, "../") {
		return nil, fmt.Errorf("%q is outside the source", want.Repository)
	}
	if err := s.unpack(dir); err != nil {
		return nil, err
	}
	dep, err := s.load(dir)
	if err != nil {
		return nil, fmt.Errorf("at %q in the source: %w", dir, err)
	}
	if err := satisfies(dep, want); err != nil {
		return nil, err
	}
	return dep, s.complete(dep, dir, depth+1)
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
	if address == "" {
		return "nowhere"
	}
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
