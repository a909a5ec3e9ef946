package helm

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// maxLookups bounds how many kinds are named in a warning.
const maxLookups = 5

// lookups is a cluster in which there is nothing, for the template function lookup. It notes the kinds that were asked for.
type lookups struct{ kinds []string }

// GetClientFor implements engine.ClientProvider.
func (l *lookups) GetClientFor(apiVersion, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	asked := apiVersion + "/" + kind
	if len(l.kinds) < maxLookups && !slices.Contains(l.kinds, asked) {
		l.kinds = append(l.kinds, asked)
	}
	return nowhere{}, false, nil
}

// nowhere finds nothing. What is not implemented here is nil, and never called by lookup.
type nowhere struct {
	dynamic.NamespaceableResourceInterface
}

func (nowhere) Get(_ context.Context, name string, _ metav1.GetOptions, _ ...string) (*unstructured.Unstructured, error) {
	return nil, apierrors.NewNotFound(schema.GroupResource{}, name)
}

func (nowhere) List(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	return nil, apierrors.NewNotFound(schema.GroupResource{}, "")
}
