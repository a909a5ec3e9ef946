package kustomize

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/render-controller/internal/schema"
)

// substitution is one object under way. What its schema knows is replaced field by field; a placeholder takes its place in the YAML
// in which the rest is replaced.
type substitution struct {
	eval   func(string) (string, error)
	prefix string
	// values are what the placeholders stand for.
	values map[string]any
	// rest is set when a variable is left in what the schema does not know.
	rest bool
}

// hasVariable says whether a text changes when its variables are replaced: $$ stands for $.
func hasVariable(text string) bool {
	return strings.Contains(text, "${") || strings.Contains(text, "$$")
}

// unused returns a text that nothing in the object or in the variables has in it, to tell placeholders by.
func unused(text string, variables map[string]string) string {
	for n := 0; ; n++ {
		prefix := fmt.Sprintf("sluice-placeholder-%d-", n)
		if !strings.Contains(text, prefix) && !slices.ContainsFunc(slices.Collect(maps.Values(variables)), func(value string) bool {
			return strings.Contains(value, prefix)
		}) {
			return prefix
		}
	}
}

// hold returns the placeholder of a value.
func (w *substitution) hold(value any) string {
	if w.values == nil {
		w.values = map[string]any{}
	}
	placeholder := w.prefix + strconv.Itoa(len(w.values))
	w.values[placeholder] = value
	return placeholder
}

// walk returns a copy of a value in which the known fields are replaced. One that is optional may be left out.
func (w *substitution) walk(value any, at schema.Field, optional bool) (any, error) {
	switch v := value.(type) {
	case map[string]any:
		return w.fields(v, at)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			one, err := w.walk(v[i], at.Item(), false)
			if err != nil {
				return nil, err
			}
			out[i] = one
		}
		return out, nil
	case string:
		return w.scalar(v, at.Type(), optional)
	default:
		return value, nil
	}
}

func (w *substitution) fields(of map[string]any, at schema.Field) (any, error) {
	out := make(map[string]any, len(of))
	for _, key := range slices.Sorted(maps.Keys(of)) {
		value, err := w.walk(of[key], at.Child(key), !at.Map())
		if err != nil {
			return nil, err
		}
		switch {
		case !hasVariable(key):
		case at.Map():
			if key, err = w.text(key); err != nil {
				return nil, err
			}
		default:
			w.rest = true
		}
		out[key] = value
	}
	return out, nil
}

func (w *substitution) scalar(value string, as schema.Type, optional bool) (any, error) {
	if !hasVariable(value) {
		return value, nil
	}
	switch as {
	case schema.Unknown:
		w.rest = true
		return value, nil
	case schema.String:
		text, err := w.text(value)
		if err != nil {
			return nil, err
		}
		if optional && read(text) == nil {
			return w.hold(nil), nil // ${x:-} and ${x:-null} leave a field out in Flux: a class of volumes that is "" is not the default one
		}
		return w.hold(text), nil
	default:
		replaced, err := w.eval(value)
		if err != nil {
			return nil, err
		}
		return w.hold(typed(replaced, as)), nil
	}
}

// text replaces the variables in a text. If YAML writes it without quotes, and all of it is then a value in quotes, those are YAML's.
func (w *substitution) text(value string) (string, error) {
	replaced, err := w.eval(value)
	if err != nil {
		return "", err
	}
	trimmed := strings.TrimSpace(replaced)
	if len(trimmed) < 2 || !strings.ContainsRune(`"'`, rune(trimmed[0])) || trimmed[len(trimmed)-1] != trimmed[0] {
		return replaced, nil
	}
	written, err := yaml.Marshal(value)
	if err != nil || strings.ContainsRune(`"'|>`, rune(written[0])) {
		return replaced, nil
	}
	if inside, ok := read(trimmed).(string); ok {
		return inside, nil
	}
	return replaced, nil
}

// typed is a number or a boolean: as YAML reads it, or else by its text. What is neither stays what YAML reads, for the API server to
// refuse.
func typed(replaced string, as schema.Type) any {
	value := read(replaced)
	text, isText := value.(string)
	if !isText {
		return value
	}
	switch as {
	case schema.Integer:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	case schema.Number:
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return n
		}
	case schema.Boolean:
		if text == "true" || text == "false" {
			return text == "true"
		}
	}
	return value
}

// read is what YAML makes of a text; the text itself where it makes nothing of it.
func read(text string) any {
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return text
	}
	value, err := decode(data)
	if err != nil {
		return text
	}
	return value
}

// restore puts the values in the places of their placeholders.
func restore(value any, held map[string]any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = restore(v[key], held)
		}
	case []any:
		for i := range v {
			v[i] = restore(v[i], held)
		}
	case string:
		if known, ok := held[v]; ok {
			return known
		}
	}
	return value
}
