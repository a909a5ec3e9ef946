package kustomize

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestDatesStayAsTheyAreWritten(t *testing.T) {
	data := "data:\n  day: 2024-01-01\n  time: 2024-01-01T10:00:00+02:00\n  2024-01-02: key\n  quoted: '2024-01-01'\n"
	want := map[string]string{
		"day": "2024-01-01", "time": "2024-01-01T10:00:00+02:00", "2024-01-02": "key", "quoted": "2024-01-01",
	}
	for name, c := range map[string]struct {
		reason string
		in     Input
	}{
		"plain":          {"kubectl reads them as strings", Input{}},
		"with variables": {"another path to the object", Input{Substitution: &Substitution{Variables: map[string]string{"x": "y"}}}},
		"with metadata":  {"a transformer of kustomize", Input{TargetNamespace: "apps", Labels: map[string]string{"a": "b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := Build(writeTree(t, map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n" + data}), &c.in, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := unstructured.NestedStringMap(result.Objects[0].Object, "data")
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%s: %v\n%s", c.reason, err, diff)
			}
		})
	}
}

func TestNothingIsNull(t *testing.T) {
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: }\nspec:\n  volumes:\n  containers: [{name: c, env: , args: ~, command: []}]\n"
	for name, in := range map[string]Input{
		"plain": {}, "with variables": {Substitution: &Substitution{Variables: map[string]string{"x": "y"}}},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := Build(writeTree(t, map[string]string{"a.yaml": pod}), &in, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"volumes": nil, "containers": []any{map[string]any{"name": "c", "env": nil, "args": nil, "command": []any{}}}}
			if diff := cmp.Diff(want, result.Objects[0].Object["spec"]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRepeatedKeyIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ reason, content, want string }{
		"at the top": {"a second block pasted below the first", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: one}\ndata: {y: two}\n", "ConfigMap/a sets data twice"},
		"below":      {"the path leads to it", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: one\n  x: two\n", "ConfigMap/a sets data.x twice"},
		"in a list":  {"lists are walked", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: c, image: a, image: b}\n", "Pod/p sets spec.containers.image twice"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Build(writeTree(t, map[string]string{"a.yaml": c.content}), &Input{}, nil)
			var failed *Failure
			if !errors.As(err, &failed) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want %q", c.reason, err, c.want)
			}
		})
	}
}
