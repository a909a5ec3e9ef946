package storage

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"

	helm "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// maxListDepth bounds Lists inside of Lists.
const maxListDepth = 4

// Objects are the objects of the recorded manifest, in the order of installing. Those of crds/ and of hooks are not among
// them. Namespaces are as the chart wrote them (see [DefaultNamespace]).
//
// They are what belongs to the release: what an upgrade has to prune and an uninstallation to delete. What to apply is in
// the rendering: it has labels and annotations that Helm leaves out of the manifest.
func (r *Release) Objects() ([]*unstructured.Unstructured, error) {
	documents := releaseutil.SplitManifests(r.record.Manifest)
	keys := slices.Collect(maps.Keys(documents))
	sort.Sort(releaseutil.BySplitManifestsOrder(keys))
	var objects []*unstructured.Unstructured
	for _, k := range keys {
		parsed, err := parse(documents[k])
		if err != nil {
			return nil, fmt.Errorf("manifest of release %s: %w", r.FullName(), err)
		}
		for _, object := range parsed {
			if _, hook := object.GetAnnotations()[helm.HookAnnotation]; !hook {
				objects = append(objects, object)
			}
		}
	}
	return objects, nil
}

// parse reads one YAML document. Errors do not quote it: manifests hold Secrets.
func parse(document string) ([]*unstructured.Unstructured, error) {
	raw, err := yaml.YAMLToJSON([]byte(document))
	if err != nil {
		return nil, errors.New("a document is not YAML")
	}
	var content any
	if err := utiljson.Unmarshal(raw, &content); err != nil {
		return nil, errors.New("a document is not YAML")
	}
	if content == nil {
		return nil, nil
	}
	fields, ok := content.(map[string]any)
	if !ok {
		return nil, errors.New("a document is not an object")
	}
	return flatten(&unstructured.Unstructured{Object: fields}, maxListDepth)
}

func flatten(object *unstructured.Unstructured, depth int) ([]*unstructured.Unstructured, error) {
	if !object.IsList() {
		if object.GetAPIVersion() == "" || object.GetKind() == "" || object.GetName() == "" {
			return nil, errors.New("an object lacks apiVersion, kind or name")
		}
		return []*unstructured.Unstructured{object}, nil
	}
	if depth == 0 {
		return nil, fmt.Errorf("more than %d Lists inside each other", maxListDepth)
	}
	var all []*unstructured.Unstructured
	err := object.EachListItem(func(item runtime.Object) error {
		one, ok := item.(*unstructured.Unstructured)
		if !ok {
			return errors.New("a List holds something else than objects")
		}
		inner, err := flatten(one, depth-1)
		all = append(all, inner...)
		return err
	})
	return all, err
}
