package helm

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/api/rendering"
)

// What Helm writes on each object when it applies it, though not into the manifest it records. Helm's CLI refuses to touch
// objects without.
const (
	labelManagedBy             = "app.kubernetes.io/managed-by"
	annotationReleaseName      = "meta.helm.sh/release-name"
	annotationReleaseNamespace = "meta.helm.sh/release-namespace"
)

const crdKind = "CustomResourceDefinition"

// objects returns the manifest as it is recorded and the objects as they are applied.
func (r *renderer) objects() (string, []rendering.Object, error) {
	objects, err := r.crdObjects()
	if err != nil {
		return "", nil, err
	}
	var text strings.Builder
	seen := map[string]string{}
	for _, manifest := range r.manifests {
		parsed, err := parse(manifest.Content)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", manifest.Name, err)
		}
		for _, object := range parsed {
			if other, twice := seen[id(object)]; twice {
				return "", nil, fmt.Errorf("%s and %s both render %s", other, manifest.Name, id(object))
			}
			seen[id(object)] = manifest.Name
			document, err := r.record(object)
			if err != nil {
				return "", nil, fmt.Errorf("%s: %s: %w", manifest.Name, id(object), err)
			}
			fmt.Fprintf(&text, "---\n# Source: %s\n%s", manifest.Name, document)
			objects = append(objects, rendering.Object{Object: object})
		}
	}
	if len(objects) > rendering.MaxObjects {
		return "", nil, fmt.Errorf("it renders %d objects, more than %d", len(objects), rendering.MaxObjects)
	}
	return text.String(), objects, nil
}

// record labels an object, returns its YAML for the manifest, and adds what only the applied object has.
func (r *renderer) record(object *unstructured.Unstructured) ([]byte, error) {
	if err := r.label(object); err != nil {
		return nil, err
	}
	document, err := yaml.Marshal(object.Object)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if err := merge(object, "labels", map[string]string{labelManagedBy: "Helm"}); err != nil {
		return nil, err
	}
	return document, merge(object, "annotations", map[string]string{
		annotationReleaseName: r.in.ReleaseName, annotationReleaseNamespace: r.in.Namespace,
	})
}

// crdObjects are the definitions in crds/ of the chart and its subcharts. Whatever else lies there is ignored, as in Flux.
func (r *renderer) crdObjects() ([]rendering.Object, error) {
	if r.in.crds() == CRDsSkip {
		return nil, nil
	}
	var objects []rendering.Object
	seen := map[string]bool{}
	for _, file := range r.chart.CRDObjects() {
		for _, document := range documents(string(file.File.Data)) {
			parsed, err := parse(document)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file.Filename, err)
			}
			for _, object := range parsed {
				if object.GetKind() != crdKind || seen[object.GetName()] {
					continue
				}
				seen[object.GetName()] = true
				if err := r.label(object); err != nil {
					return nil, fmt.Errorf("%s: %s: %w", file.Filename, id(object), err)
				}
				objects = append(objects, rendering.Object{Object: object})
			}
		}
	}
	return objects, nil
}

func (r *renderer) label(object *unstructured.Unstructured) error {
	return merge(object, "labels", map[string]string{LabelName: r.in.SubjectName, LabelNamespace: r.in.SubjectNamespace})
}

// parse reads one YAML document: no object when it holds only comments, several when it is a List.
func parse(document string) ([]*unstructured.Unstructured, error) {
	raw, err := yaml.YAMLToJSON([]byte(document))
	if err != nil {
		return nil, fmt.Errorf("parse YAML: %w", err)
	}
	var content any
	if err := utiljson.Unmarshal(raw, &content); err != nil {
		return nil, fmt.Errorf("parse YAML: %w", err)
	}
	if content == nil {
		return nil, nil
	}
	fields, ok := content.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a document is a %T: want an object", content)
	}
	return flatten(&unstructured.Unstructured{Object: fields})
}

// flatten returns the items of a List, and any other object as it is.
func flatten(object *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if !object.IsList() {
		return []*unstructured.Unstructured{object}, complete(object)
	}
	var all []*unstructured.Unstructured
	err := object.EachListItem(func(item runtime.Object) error {
		one, ok := item.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("a List holds a %T: want objects", item)
		}
		inner, err := flatten(one)
		all = append(all, inner...)
		return err
	})
	return all, err
}

// complete checks that an object says what it is.
func complete(object *unstructured.Unstructured) error {
	switch {
	case object.GetAPIVersion() == "":
		return errors.New("an object has no apiVersion")
	case object.GetKind() == "":
		return errors.New("an object has no kind")
	case object.GetName() == "":
		return fmt.Errorf("a %s has no metadata.name", object.GetKind())
	default:
		return nil
	}
}

// merge sets entries of metadata.labels or metadata.annotations, keeping the others.
func merge(object *unstructured.Unstructured, field string, entries map[string]string) error {
	all, _, err := unstructured.NestedMap(object.Object, "metadata", field)
	if err != nil {
		if value, _, _ := unstructured.NestedFieldNoCopy(object.Object, "metadata", field); value != nil {
			return fmt.Errorf("metadata.%s is not a map", field)
		}
	}
	if all == nil {
		all = map[string]any{}
	}
	for key, value := range entries {
		all[key] = value
	}
	return unstructured.SetNestedMap(object.Object, all, "metadata", field)
}

// id names an object as messages do: Kind/namespace/name or Kind/name.
func id(object *unstructured.Unstructured) string {
	kind := object.GetKind()
	if group := object.GroupVersionKind().Group; group != "" {
		kind += "." + group
	}
	if ns := object.GetNamespace(); ns != "" {
		return kind + "/" + ns + "/" + object.GetName()
	}
	return kind + "/" + object.GetName()
}
