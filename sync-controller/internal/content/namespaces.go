package content

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-gitops/sluice/api/rendering"
)

// DefaultNamespace gives the release's namespace to objects that have none and whose kind is namespaced, in place. It
// returns, as Kind/name, the objects of kinds that neither the API server knows nor a CustomResourceDefinition among the
// objects defines; they are left as they are. An error is the mapper's: nothing can be said then.
func DefaultNamespace(objects []*unstructured.Unstructured, mapper meta.RESTMapper, namespace string) (unknown []string, err error) {
	defined := definedScopes(objects)
	for _, object := range objects {
		if object.GetNamespace() != "" {
			continue
		}
		kind := object.GroupVersionKind().GroupKind()
		namespaced, known := defined[kind]
		mapping, err := mapper.RESTMapping(kind, object.GroupVersionKind().Version)
		switch {
		case err == nil:
			namespaced = mapping.Scope.Name() == meta.RESTScopeNameNamespace
		case !meta.IsNoMatchError(err):
			return nil, fmt.Errorf("ask for the scope of %s: %w", kind, err)
		case !known:
			unknown = append(unknown, object.GetKind()+"/"+object.GetName())
			continue
		}
		if namespaced {
			object.SetNamespace(namespace)
		}
	}
	return unknown, nil
}

// definedScopes says which kinds the definitions among the objects make namespaced.
func definedScopes(objects []*unstructured.Unstructured) map[schema.GroupKind]bool {
	scopes := map[schema.GroupKind]bool{}
	for _, object := range objects {
		if object.GetKind() != "CustomResourceDefinition" {
			continue
		}
		group, _, _ := unstructured.NestedString(object.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(object.Object, "spec", "names", "kind")
		scope, _, _ := unstructured.NestedString(object.Object, "spec", "scope")
		scopes[schema.GroupKind{Group: group, Kind: kind}] = scope == "Namespaced"
	}
	return scopes
}

func unstructuredObjects(content rendering.Content) []*unstructured.Unstructured {
	objects := make([]*unstructured.Unstructured, 0, len(content.Objects))
	for _, o := range content.Objects {
		objects = append(objects, o.Object)
	}
	return objects
}
