package helm

import (
	"regexp"
	"slices"

	"helm.sh/helm/v3/pkg/chart"
)

// Template functions that Helm 4 has, and the version whose engine is used here has not, are written as the ones that do the same: they
// differ only for what cannot be encoded at all. See api/decisions/0022-helm-differences.md.
var (
	action  = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	newName = regexp.MustCompile(`\bmustTo(Yaml|Toml)\b`)
)

// withNewFunctions changes the templates of a chart and its subcharts for as long as they are rendered. The chart is recorded as it is:
// the caller calls restore.
func withNewFunctions(c *chart.Chart) (restore func()) {
	original := c.Templates
	c.Templates = slices.Clone(original)
	for i, file := range c.Templates {
		if file != nil && newName.Match(file.Data) {
			c.Templates[i] = &chart.File{Name: file.Name, Data: action.ReplaceAllFunc(file.Data, func(code []byte) []byte {
				return newName.ReplaceAll(code, []byte("to$1"))
			})}
		}
	}
	undo := []func(){func() { c.Templates = original }}
	for _, subchart := range c.Dependencies() {
		undo = append(undo, withNewFunctions(subchart))
	}
	return func() {
		for _, one := range undo {
			one()
		}
	}
}
