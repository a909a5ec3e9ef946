package helm

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestIntegersAreExact: an integer of 64 bits is what the author wrote, whether it is a value of the release or of the chart, and
// through whatever function of the templates it goes. Those that float64 holds stay what Helm and Flux make of them.
func TestIntegersAreExact(t *testing.T) {
	in := input(small(t, map[string]string{
		"values.yaml": "own: 9007199254740993\nlist: []\n",
		"templates/a.yaml": `apiVersion: example.org/v1
kind: Thing
metadata: {name: a}
spec:
  plain: {{ .Values.id }}
  quoted: {{ .Values.id | quote }}
  yaml: {{ toYaml .Values.list | nindent 4 }}
  json: {{ toJson .Values.list }}
  int: {{ .Values.id | int64 }}
  sum: {{ add .Values.id 1 }}
  own: {{ .Values.own }}
  small: {{ kindOf .Values.small }}
  large: {{ .Values.large }}
  literal: 9123456789012345678
  negative: {{ .Values.negative }}
`}))
	raw, err := json.Marshal(map[string]json.RawMessage{"x": json.RawMessage(
		`{"id":9123456789012345678,"list":[{"id":9007199254740993}],"small":3,"large":1000000,"negative":-9223372036854775807}`)})
	if err != nil {
		t.Fatal(err)
	}
	var overFrames struct{ X Tree }
	if err := json.Unmarshal(raw, &overFrames); err != nil {
		t.Fatal(err)
	}
	in.Values = overFrames.X
	out, err := Render(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	list := []any{map[string]any{"id": int64(9007199254740993)}}
	want := map[string]any{
		"plain": int64(9123456789012345678), "quoted": "9123456789012345678", "yaml": list, "json": list,
		"int": int64(9123456789012345678), "sum": int64(9123456789012345679), "own": int64(9007199254740993),
		"small": "float64", "large": int64(1e6), "literal": int64(9123456789012345678), "negative": int64(-9223372036854775807),
	}
	if diff := cmp.Diff(want, out.Content.Objects[0].Object.Object["spec"]); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	var record struct {
		Config json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(out.Content.Release, &record); err != nil {
		t.Fatal(err)
	}
	if want := `{"id":9123456789012345678,"large":1000000,"list":[{"id":9007199254740993}],"negative":-9223372036854775807,"small":3}`; string(record.Config) != want {
		t.Errorf("recorded configuration: %s, want %s", record.Config, want)
	}
}
