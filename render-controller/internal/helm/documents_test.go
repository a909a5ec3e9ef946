package helm

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDocuments(t *testing.T) {
	for name, tt := range map[string]struct {
		reason, file string
		want         []string
	}{
		"one":              {"a file without separators", "a: 1\n", []string{"a: 1\n"}},
		"block at the end": {"its line end is part of the value", "a: |\n  x\n", []string{"a: |\n  x\n"}},
		"block before ---": {"here too", "a: |\n  x\n---\nb: 1\n", []string{"a: |\n  x\n", "b: 1\n"}},
		"block that keeps": {"|+ keeps all of them", "a: |+\n  x\n\n\n---\nb: 1\n", []string{"a: |+\n  x\n\n\n", "b: 1\n"}},
		"no line end":      {"Helm applies it as a line", "a: |\n  x", []string{"a: |\n  x\n"}},
		"white space":      {"what is nothing is no document", "---\n\n---\n  \n---\na: 1\n---", []string{"a: 1\n"}},
		"indented call":    {"a template makes the whole document, and its call is indented", "\n  a: 1\nb: 2\n---\n  c: 1\nd: |\n  x\n", []string{"a: 1\nb: 2\n", "c: 1\nd: |\n  x\n"}},
		"comment":          {"a separator with a comment", "--- # first\na: 1\n", []string{"# first\na: 1\n"}},
		"lost line end":    {"charts write {{- }} after the separator", "---a: 1\n---  b: 1\n", []string{"a: 1\n", "b: 1\n"}},
		"not at the start": {"in a block it is a text", "a: |\n  ---\n  x\n", []string{"a: |\n  ---\n  x\n"}},
		"carriage returns": {"files of Windows", "a: 1\r\n---\r\nb: 1\r\n", []string{"a: 1\r\n", "b: 1\r\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, documents(tt.file)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

// TestTextsOfDocumentsAreKept: objects, hooks and definitions are what the templates' text says, to the last line end.
func TestTextsOfDocumentsAreKept(t *testing.T) {
	object := func(kind, name, more string) string {
		return "apiVersion: v1\nkind: " + kind + "\nmetadata:\n  name: " + name + "\n" + more
	}
	block := "data:\n  text: |\n    line\n"
	out, err := Render(t.Context(), input(small(t, map[string]string{
		"templates/a.yaml": object("ConfigMap", "a", block) + "---\n" + object("ConfigMap", "b", block),
		"templates/b.yaml": object("ConfigMap", "c", "data:\n  text: |+\n    line\n\n") + "---\n" + object("ConfigMap", "d", "data:\n  text: |-\n    line\n"),
		"templates/c.yaml": object("ConfigMap", "e", "data: {text: x}\n") + "---\n" + object("Pod", "f", "  annotations:\n    helm.sh/hook: test\n"+block),
	})))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for _, o := range out.Content.Objects {
		got[o.Object.GetName()] = o.Object.Object["data"].(map[string]any)["text"]
	}
	if diff := cmp.Diff(map[string]any{"a": "line\n", "b": "line\n", "c": "line\n\n", "d": "line", "e": "x"}, got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	hooks := recordOf(t, out).Hooks
	if len(hooks) != 1 || hooks[0].Path != "small/templates/c.yaml" || hooks[0].Manifest != object("Pod", "f", "  annotations:\n    helm.sh/hook: test\n"+block) {
		t.Errorf("hooks: %+v", hooks)
	}
}

// TestManifestsKeepTheirOrder: documents of one file and kind follow one another as they are written, however many there are.
func TestManifestsKeepTheirOrder(t *testing.T) {
	files := map[string]string{}
	var want []string
	for _, file := range []string{"chart/templates/a.yaml", "chart/templates/b.yaml"} {
		for i := range 12 {
			name := string(rune('a' + i))
			files[file] += "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n"
			want = append(want, file)
		}
	}
	_, manifests, err := sortDocuments(maps.Clone(files))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, manifest := range manifests {
		got = append(got, manifest.Name)
		if wanted := string(rune('a' + i%12)); manifest.Head.Metadata.Name != wanted {
			t.Errorf("manifest %d is %s, want %s", i, manifest.Head.Metadata.Name, wanted)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("files: %v", got)
	}
}
