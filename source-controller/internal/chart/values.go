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

// mergeValues replaces the chart's values by those of the values files.
func (c *Chart) mergeValues(s *sources, o Options) error {
	merged := map[string]any{}
	for i, file := range cleanAll(o.ValuesFiles) {
		values, err := s.values(file)
		if errors.Is(err, fs.ErrNotExist) && o.IgnoreMissing {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %q does not exist in the source", ErrValuesFiles, o.ValuesFiles[i])
		}
		if err != nil {
			return fmt.Errorf("%w: %q %w", ErrValuesFiles, o.ValuesFiles[i], err)
		}
		merge(merged, values)
		c.ValuesFiles = append(c.ValuesFiles, o.ValuesFiles[i])
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

func (s *sources) values(file string) (map[string]any, error) {
	f, err := s.scratch.Open(file)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxValues+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, errors.New("cannot be read")
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
