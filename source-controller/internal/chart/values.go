package chart

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/yaml"
)

// maxValues is how large one values file may be.
const maxValues = 5 << 20

// Merge replaces the chart's values by those of values files: of the source, or of a packaged chart itself. A later one wins. With
// ignoreMissing those that do not exist are left out.
func (c *Chart) Merge(valuesFiles []string, ignoreMissing bool) (err error) {
	defer guard(&err, "the values of %q make the parser fail", c.Name())
	if s, ok := c.files.(*sources); ok {
		var wanted []string
		for _, file := range valuesFiles {
			wanted = append(wanted, clean(file))
		}
		if err := s.unpack(wanted...); err != nil {
			return err
		}
	}
	merged := map[string]any{}
	for _, file := range valuesFiles {
		values, err := c.values(clean(file))
		if errors.Is(err, fs.ErrNotExist) && ignoreMissing {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %q does not exist in %s", ErrValuesFiles, file, c.files.place())
		}
		if err != nil {
			return fmt.Errorf("%w: %q %w", ErrValuesFiles, file, err)
		}
		merge(merged, values)
		c.ValuesFiles = append(c.ValuesFiles, file)
	}
	if len(c.ValuesFiles) == 0 {
		return nil
	}
	data, err := yaml.Marshal(merged)
	if err != nil {
		return fmt.Errorf("%w: the result is not YAML", ErrValuesFiles)
	}
	c.chart.Values = merged
	isValues := func(f *chart.File) bool { return f.Name == chartutil.ValuesfileName }
	c.chart.Raw = append(slices.DeleteFunc(c.chart.Raw, isValues), &chart.File{Name: chartutil.ValuesfileName, Data: data})
	return nil
}

func (s *sources) values(file string) ([]byte, error) {
	f, err := s.scratch.Open(file)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxValues+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, errors.New("cannot be read")
	}
	return data, nil
}

func (c *Chart) values(file string) (map[string]any, error) {
	data, err := c.files.values(file)
	if err != nil {
		return nil, err
	}
	if len(data) > maxValues {
		return nil, fmt.Errorf("has more than %d bytes", maxValues)
	}
	values := map[string]any{}
	exact := func(d *json.Decoder) *json.Decoder { d.UseNumber(); return d } // as Helm reads values: float64 holds no large integers
	if err := yaml.Unmarshal(data, &values, exact); err != nil {
		// The parser's own words may quote the file.
		return nil, errors.New("is not a YAML mapping")
	}
	return values, nil
}

// merge puts what is in over into base: mappings key by key, everything else as a whole.
func merge(base, over map[string]any) {
	for key, value := range over {
		inner, isMap := value.(map[string]any)
		outer, wasMap := base[key].(map[string]any)
		if isMap && wasMap {
			merge(outer, inner)
			continue
		}
		base[key] = value
	}
}
