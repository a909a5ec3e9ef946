package content

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

func TestDefaultNamespace(t *testing.T) {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, meta.RESTScopeRoot)
	crd := "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.org, namespace: x}\n" +
		"spec: {group: example.org, scope: Namespaced, names: {kind: Widget}}"
	var objects []*unstructured.Unstructured
	for _, document := range []string{
		crd,
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: other}",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: c}",
		"apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: d}",
		"apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: e}",
	} {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	unknown, err := DefaultNamespace(objects, mapper, "apps")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"CustomResourceDefinition/x/widgets.example.org", "ConfigMap/apps/a", "ConfigMap/other/b", "Namespace//c", "Widget/apps/d", "Gadget//e",
	}
	if diff := cmp.Diff(want, names(objects)); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Gadget/e"}, unknown); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
}

func names(objects []*unstructured.Unstructured) []string {
	var names []string
	for _, o := range objects {
		names = append(names, o.GetKind()+"/"+o.GetNamespace()+"/"+o.GetName())
	}
	return names
}
