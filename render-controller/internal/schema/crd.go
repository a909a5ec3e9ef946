package schema

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Add makes the schemas in a CustomResourceDefinition known. Any other object changes nothing.
func (s *Set) Add(object map[string]any) {
	crd := unstructured.Unstructured{Object: object}
	if crd.GetKind() != "CustomResourceDefinition" || crd.GroupVersionKind().Group != "apiextensions.k8s.io" {
		return
	}
	group, _, _ := unstructured.NestedString(object, "spec", "group")
	kind, _, _ := unstructured.NestedString(object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedFieldNoCopy(object, "spec", "versions")
	list, _ := versions.([]any)
	for _, one := range list {
		version, _ := one.(map[string]any)
		name, _ := version["name"].(string)
		found, _, _ := unstructured.NestedFieldNoCopy(version, "schema", "openAPIV3Schema")
		if root, ok := found.(map[string]any); ok {
			if s.crds == nil {
				s.crds = map[schema.GroupVersionKind]map[string]any{}
			}
			s.crds[schema.GroupVersionKind{Group: group, Version: name, Kind: kind}] = root
		}
	}
}

func crdChild(of map[string]any, name string) map[string]any {
	properties, _ := of["properties"].(map[string]any)
	if child, ok := properties[name].(map[string]any); ok {
		return child
	}
	free, _ := of["additionalProperties"].(map[string]any)
	return free
}

func crdType(of map[string]any) Type {
	if either, _ := of["x-kubernetes-int-or-string"].(bool); either {
		return Unknown
	}
	switch of["type"] {
	case "string":
		return String
	case "integer":
		return Integer
	case "number":
		return Number
	case "boolean":
		return Boolean
	default:
		return Unknown
	}
}
