package schema

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Type of a field.
type Type int

// The types that a YAML scalar may be meant as.
const (
	Unknown Type = iota
	String
	Integer
	Number
	Boolean
)

// Field is what is known of a field of an object, or of the object itself. The zero value is a field of which nothing is known.
type Field struct {
	// One of these is set, or none.
	goType reflect.Type
	crd    map[string]any
	// root is set for an object itself: whatever its schema says, apiVersion, kind and metadata are Kubernetes'.
	root bool
}

// Set is where schemas are looked up. The zero value knows Kubernetes' own kinds, and those of Flux and of Sluice. It is for one
// goroutine.
type Set struct {
	// added are the kinds with a Go type that client-go does not know, once they were asked for.
	added *runtime.Scheme
	crds  map[schema.GroupVersionKind]map[string]any
}

// Of returns the schema of a kind's objects.
func (s *Set) Of(apiVersion, kind string) Field {
	gvk := schema.FromAPIVersionAndKind(apiVersion, kind)
	if known, ok := s.crds[gvk]; ok {
		return Field{crd: known, root: true}
	}
	return Field{goType: s.builtin(gvk), root: true}
}

// Child returns what is known of the field of that name, or of the value of that key where the field is a map.
func (f Field) Child(name string) Field {
	if f.root {
		switch name {
		case "apiVersion", "kind":
			return Field{goType: reflect.TypeFor[string]()}
		case "metadata":
			return Field{goType: reflect.TypeFor[metav1.ObjectMeta]()}
		}
	}
	if f.crd != nil {
		return Field{crd: crdChild(f.crd, name)}
	}
	return Field{goType: goChild(f.goType, name)}
}

// Item returns what is known of the items of a list.
func (f Field) Item() Field {
	if f.crd != nil {
		items, _ := f.crd["items"].(map[string]any)
		return Field{crd: items}
	}
	return Field{goType: goItem(f.goType)}
}

// Map says whether the field is a map, whose keys are the author's, rather than an object with fields.
func (f Field) Map() bool {
	if f.crd != nil {
		_, free := f.crd["additionalProperties"].(map[string]any)
		return free
	}
	t := pointee(f.goType)
	return t != nil && t.Kind() == reflect.Map
}

// Type returns the field's type; Unknown for what is no scalar.
func (f Field) Type() Type {
	if f.crd != nil {
		return crdType(f.crd)
	}
	return goType(f.goType)
}
