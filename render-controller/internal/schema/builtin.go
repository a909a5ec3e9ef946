package schema

import (
	"encoding/json"
	"reflect"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// builtin returns the Go type of a kind; nil when there is none.
func (s *Set) builtin(gvk schema.GroupVersionKind) reflect.Type {
	if t, known := clientgoscheme.Scheme.AllKnownTypes()[gvk]; known {
		return t
	}
	if s.added == nil {
		s.added = runtime.NewScheme()
		for _, add := range []func(*runtime.Scheme) error{
			apiextensionsv1.AddToScheme, kustomizev1.AddToScheme, helmv2.AddToScheme, sourcev1.AddToScheme, v1alpha1.AddToScheme,
		} {
			_ = add(s.added) // what cannot be added is not known
		}
	}
	return s.added.AllKnownTypes()[gvk]
}

// isText says of a type that decodes itself whether it does so from a JSON string alone.
func isText(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime](), reflect.TypeFor[metav1.Duration]():
		return true
	default:
		return false
	}
}

// pointee follows pointers. It is nil for a type that decodes itself, such as a quantity or an int-or-string.
func pointee(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || !isText(t) && reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	return t
}

func goType(t reflect.Type) Type {
	t = pointee(t)
	switch {
	case t == nil:
		return Unknown
	case isText(t), t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8: // bytes are base64
		return String
	}
	switch t.Kind() {
	case reflect.String:
		return String
	case reflect.Bool:
		return Boolean
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Integer
	case reflect.Float32, reflect.Float64:
		return Number
	default:
		return Unknown
	}
}

func goItem(t reflect.Type) reflect.Type {
	t = pointee(t)
	if t == nil || t.Kind() != reflect.Slice && t.Kind() != reflect.Array {
		return nil
	}
	return t.Elem()
}

func goChild(t reflect.Type, name string) reflect.Type {
	t = pointee(t)
	switch {
	case t == nil || isText(t):
		return nil
	case t.Kind() == reflect.Map:
		return t.Elem()
	case t.Kind() != reflect.Struct:
		return nil
	}
	for i := range t.NumField() {
		field := t.Field(i)
		key, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if key == name {
			return field.Type
		}
		if key == "" && (field.Anonymous || options == "inline") {
			if found := goChild(field.Type, name); found != nil {
				return found
			}
		}
	}
	return nil
}
