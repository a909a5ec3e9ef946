package helm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"helm.sh/helm/v3/pkg/chart"
)

const (
	maxSchema       = 1 << 20 // bytes of a values.schema.json
	maxSchemaErrors = 10      // told at once
	schemaURL       = "file:///values.schema.json"
)

// checkSchemas validates values against values.schema.json of the chart and of each subchart. Helm's own check would fetch
// whatever URL or local file a schema refers to.
func checkSchemas(c *chart.Chart, values map[string]any) error {
	if len(c.Schema) > 0 {
		if err := checkSchema(c, values); err != nil {
			return err
		}
	}
	for _, subchart := range c.Dependencies() {
		of := values[subchart.Name()]
		if of == nil {
			continue
		}
		table, ok := asTable(of)
		if !ok {
			return fmt.Errorf("values of subchart %s: want an object, got %T", subchart.Name(), of)
		}
		if err := checkSchemas(subchart, table); err != nil {
			return err
		}
	}
	return nil
}

func checkSchema(c *chart.Chart, values map[string]any) error {
	schema, err := compileSchema(c.Schema)
	if err != nil {
		return fmt.Errorf("values.schema.json of chart %s: %w", c.Name(), err)
	}
	plain, err := json.Marshal(values)
	if err != nil {
		return fmt.Errorf("encode values of chart %s: %w", c.Name(), err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(plain))
	if err != nil {
		return fmt.Errorf("decode values of chart %s: %w", c.Name(), err)
	}
	err = schema.Validate(instance)
	var invalid *jsonschema.ValidationError
	if errors.As(err, &invalid) {
		return fmt.Errorf("values do not meet values.schema.json of chart %s: %s", c.Name(), strings.Join(violations(invalid, nil), "; "))
	}
	return err
}

func compileSchema(raw []byte) (*jsonschema.Schema, error) {
	if len(raw) > maxSchema {
		return nil, fmt.Errorf("larger than %d MiB", maxSchema>>20)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(schemaURL, document); err != nil {
		return nil, err
	}
	return compiler.Compile(schemaURL)
}

// noLoader refuses references out of the schema.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	if strings.HasPrefix(url, "urn:") {
		return true, nil // anything goes, as in Helm: a URN names no place to read from
	}
	return nil, fmt.Errorf("refers to %s: only references within the file are followed; inline it, or set "+
		"disableSchemaValidation in spec.install and spec.upgrade", url)
}

// violations lists what is wrong, each with the path of the value but without the value.
func violations(e *jsonschema.ValidationError, list []string) []string {
	if len(e.Causes) == 0 && len(list) < maxSchemaErrors {
		return append(list, "values."+strings.Join(e.InstanceLocation, ".")+": "+violation(e.ErrorKind))
	}
	for _, cause := range e.Causes {
		list = violations(cause, list)
	}
	return list
}

func violation(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Pattern: // the library's text quotes the value
		return fmt.Sprintf("does not match the pattern %q", k.Want)
	case *kind.Format:
		return fmt.Sprintf("is not a valid %s", k.Want)
	default:
		return k.LocalizedString(message.NewPrinter(language.English))
	}
}

func asTable(v any) (map[string]any, bool) {
	switch table := v.(type) {
	case map[string]any:
		return table, true
	case interface{ AsMap() map[string]any }: // chartutil.Values
		return table.AsMap(), true
	default:
		return nil, false
	}
}
