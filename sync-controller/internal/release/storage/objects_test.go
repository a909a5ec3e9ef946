package storage

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func names(objects []*unstructured.Unstructured) []string {
	var list []string
	for _, o := range objects {
		list = append(list, o.GetKind()+"/"+o.GetNamespace()+"/"+o.GetName())
	}
	return list
}

func withManifest(t *testing.T, manifest string) *Release {
	r := rendered(t, "1.0.0", nil)
	r.record.Manifest = manifest
	return r
}

func TestObjects(t *testing.T) {
	tests := map[string]struct {
		reason, manifest string
		want             []string
		fails            string
	}{
		"plain": {"in the order of the manifest", manifest, []string{"ConfigMap//web", "Deployment//web"}, ""},
		"many": {
			"ten documents keep their order", strings.Repeat("---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n", 11) +
				"---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: z\n",
			[]string{
				"ConfigMap//a", "ConfigMap//a", "ConfigMap//a", "ConfigMap//a", "ConfigMap//a", "ConfigMap//a", "ConfigMap//a",
				"ConfigMap//a", "ConfigMap//a", "ConfigMap//a", "ConfigMap//a", "ConfigMap//z",
			}, "",
		},
		"comments": {"a document of comments is none", "---\n# Source: a\n# nothing\n---\n", nil, ""},
		"hooks":    {"post-renderers of Helm 4 may leave hooks in the manifest", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n    helm.sh/hook: test\n", nil, ""},
		"list":     {"a List is its items", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n", []string{"ConfigMap//a"}, ""},
		"no YAML":  {"the text of the record is not quoted", "a: b: canary", nil, "not YAML"},
		"scalar":   {"a text is no object", "canary", nil, "not an object"},
		"nameless": {"an object needs a name", "apiVersion: v1\nkind: ConfigMap\n", nil, "lacks"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := withManifest(t, tt.manifest).Objects()
			if tt.fails == "" && err != nil || tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
				t.Fatalf("%s: got error %v, want %q", tt.reason, err, tt.fails)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: error quotes the manifest: %v", tt.reason, err)
			}
			if diff := cmp.Diff(tt.want, names(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func FuzzObjects(f *testing.F) {
	f.Add(manifest)
	f.Add("kind: List\napiVersion: v1\nitems: [1]")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		r := withManifest(t, text)
		_, _ = r.Objects()
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"name":"a","namespace":"b","chart":{"metadata":{"name":"c"}}}`))
	f.Add([]byte(`{"info":null}`))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		if r, err := Parse(raw); err == nil {
			r.Facts()
			r.Snapshot("install", "")
		}
	})
}
