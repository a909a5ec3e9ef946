package apply_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestClusterReleaseThatHelmMade is about the objects of a release that was installed by hand: what the chart sets no longer
// goes, whichever Helm it was.
func TestClusterReleaseThatHelmMade(t *testing.T) {
	t.Parallel()
	made := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"color":"blue","size":"large"}}`
	for name, tc := range map[string]struct {
		reason string
		helm   func(t *testing.T, f *fixture, object *unstructured.Unstructured) error
		ours   bool
		want   map[string]string
	}{
		"Helm 3": {"it creates and patches", byHelm3, true, map[string]string{"color": "red"}},
		"Helm 4": {"it applies", byHelm4, true, map[string]string{"color": "red"}},
		"into a Kustomization": {
			"the release may be there still, and Helm take care of its field", byHelm3, false, map[string]string{"color": "red", "size": "large"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			if tc.ours {
				f.FieldManager, f.Owner.Group = "helm-controller", "helm.toolkit.fluxcd.io"
			}
			object := f.parse(t, made)[0].Object
			object.SetNamespace(f.namespace)
			if err := tc.helm(t, f, object); err != nil {
				t.Fatal(err)
			}
			f.mustApply(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: NS}\ndata: {color: red}\n")
			got, _, err := unstructured.NestedStringMap(f.mustGet(t, "v1", "ConfigMap", "a").Object, "data")
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Errorf("%s: %v\n%s", tc.reason, err, diff)
			}
		})
	}
}

func byHelm3(t *testing.T, f *fixture, object *unstructured.Unstructured) error {
	return f.admin.Create(t.Context(), object, client.FieldOwner("helm"))
}

func byHelm4(t *testing.T, f *fixture, object *unstructured.Unstructured) error {
	return f.admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("helm"))
}
