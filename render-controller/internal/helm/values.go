package helm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/yaml"
)

// Tree of values. Numbers are float64, as templates get them from Helm and Flux, but for integers that float64 does not hold: those
// are int64, as helm --set makes them.
type Tree map[string]any

// UnmarshalJSON implements [json.Unmarshaler].
func (t *Tree) UnmarshalJSON(raw []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var values map[string]any
	if err := decoder.Decode(&values); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	for key, value := range values {
		number, err := numbers(value)
		if err != nil {
			return err
		}
		values[key] = number
	}
	*t = values
	return nil
}

// numbers replaces each [json.Number] that float64 holds.
func numbers(value any) (any, error) {
	var err error
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			if v[key], err = numbers(v[key]); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range v {
			if v[i], err = numbers(v[i]); err != nil {
				return nil, err
			}
		}
	case json.Number:
		return number(v)
	}
	return value, nil
}

func number(text json.Number) (any, error) {
	if exact, err := strconv.ParseInt(text.String(), 10, 64); err == nil && !fits(exact) {
		return exact, nil
	}
	return text.Float64()
}

// fits says whether float64 holds an integer. The conversion of the largest one back is the processor's choice.
func fits(n int64) bool { return n != math.MaxInt64 && int64(float64(n)) == n }

// Values decodes spec.values. They are nil when there are none.
func Values(hr *helmv2.HelmRelease) (Tree, error) {
	if hr.Spec.Values == nil || len(hr.Spec.Values.Raw) == 0 {
		return nil, nil
	}
	var values Tree
	if err := json.Unmarshal(hr.Spec.Values.Raw, &values); err != nil {
		return nil, fmt.Errorf("spec.values is not an object: %w", err)
	}
	return values, nil
}

// longNumber finds what may be an integer that float64 does not hold, without parsing.
var longNumber = regexp.MustCompile(`[0-9]{16}`)

// exactDefaults reads the values of a chart and its subcharts again where Helm's loader may have rounded an integer.
func exactDefaults(c *chart.Chart) error {
	for _, file := range c.Raw {
		if file.Name != chartutil.ValuesfileName || !longNumber.Match(file.Data) {
			continue
		}
		raw, err := yaml.YAMLToJSON(file.Data)
		if err != nil {
			return fmt.Errorf("values.yaml of chart %s: not YAML", c.Name())
		}
		var values Tree
		if err := json.Unmarshal(raw, &values); err != nil {
			return fmt.Errorf("values.yaml of chart %s: not a YAML mapping", c.Name())
		}
		c.Values = values
	}
	for _, subchart := range c.Dependencies() {
		if err := exactDefaults(subchart); err != nil {
			return err
		}
	}
	return nil
}

// dropNullDefaults takes the nulls out of the values of a chart and its subcharts, as Helm 4 does: see
// api/decisions/0022-helm-differences.md. A null of the release's own values still takes a default away.
func dropNullDefaults(c *chart.Chart) {
	dropNulls(c.Values)
	for _, subchart := range c.Dependencies() {
		dropNullDefaults(subchart)
	}
}

func dropNulls(values map[string]any) {
	for key, value := range values {
		if value == nil {
			delete(values, key)
		} else if inner, ok := value.(map[string]any); ok {
			dropNulls(inner)
		}
	}
}

// copied is a deep copy: Helm merges into the maps it is given.
func copied(values Tree) (map[string]any, error) {
	out := Tree{}
	if len(values) == 0 {
		return out, nil
	}
	raw, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	return out, json.Unmarshal(raw, &out)
}
