package helm

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFunctionsOfHelm4: charts that are written for Helm 4 render, and are recorded as they are.
func TestFunctionsOfHelm4(t *testing.T) {
	template := "# mustToYaml is a word here\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n" +
		"  yaml: {{ mustToYaml (dict \"a\" 1) | quote }}\n  toml: {{ dict \"a\" 1 |\n    mustToToml | quote }}\n" +
		"  tpl: {{ tpl \"{{ list 1 | mustToYaml }}\" . | quote }}\n  other: {{ mustToJson (list 1) | quote }}\n  text: mustToYaml\n"
	out, err := Render(t.Context(), input(small(t, map[string]string{
		"templates/a.yaml": template, "charts/db/Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.0.0\n",
		"charts/db/templates/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {x: {{ mustToYaml \"word\" | quote }}}\n",
	})))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for _, o := range out.Content.Objects {
		got[o.Object.GetName()] = o.Object.Object["data"]
	}
	want := map[string]any{
		"a": map[string]any{"yaml": "a: 1", "toml": "a = 1\n", "tpl": "- 1", "other": "[1]", "text": "mustToYaml"},
		"b": map[string]any{"x": "word"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, file := range recordOf(t, out).Chart.Templates {
		if file.Name == "templates/a.yaml" && string(file.Data) != template {
			t.Errorf("recorded: %s", file.Data)
		}
	}
}

// TestNullsInValues: what a null in values means, case by case; see api/decisions/0022-helm-differences.md.
func TestNullsInValues(t *testing.T) {
	sub := "apiVersion: v2\nname: db\nversion: 1.0.0\n"
	for name, tt := range map[string]struct {
		reason string
		files  map[string]string
		values string
		want   string
	}{
		"default of the chart":      {"as if it were not there", map[string]string{"values.yaml": "a: null\nm: {x: null, z: 1}\n"}, `{}`, `{"m":{"z":1}}`},
		"takes a default away":      {"the key goes", map[string]string{"values.yaml": "a: 1\nm: {x: 1, z: 1}\n"}, `{"a":null,"m":{"x":null}}`, `{"m":{"z":1}}`},
		"where there is no default": {"kept", map[string]string{"values.yaml": "m: {z: 1}\n"}, `{"a":null,"m":{"x":null}}`, `{"a":null,"m":{"x":null,"z":1}}`},
		"default of a subchart": {"as if it were not there", map[string]string{"charts/db/Chart.yaml": sub, "charts/db/values.yaml": "a: null\nm: {z: 1}\n"}, `{}`,
			`{"db":{"global":{},"m":{"z":1}}}`},
		"for a subchart's default": {"a chart's values.yaml takes none away", map[string]string{
			"values.yaml": "db: {a: null}\n", "charts/db/Chart.yaml": sub, "charts/db/values.yaml": "a: 1\nb: 2\n",
		}, `{}`, `{"db":{"a":1,"b":2,"global":{}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {values: {{ toJson .Values | quote }}}\n"}
			for file, content := range tt.files {
				files[file] = content
			}
			in := input(small(t, files))
			in.Values = decode(t, tt.values)
			out, err := Render(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if got := out.Content.Objects[0].Object.Object["data"].(map[string]any)["values"]; got != tt.want {
				t.Errorf("%s: %s, want %s", tt.reason, got, tt.want)
			}
		})
	}
}
