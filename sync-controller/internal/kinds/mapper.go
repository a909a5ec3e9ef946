package kinds

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Mapper remembers the resources of kinds, and asks the API server for those that it does not know. Make it with [NewMapper];
// it is safe for concurrent use.
type Mapper struct {
	make   func() (meta.RESTMapper, error)
	client rest.Interface

	mu      sync.RWMutex
	current meta.RESTMapper
	resets  int64
}

var _ meta.ResettableRESTMapper = (*Mapper)(nil)

// NewMapper returns a mapper that remembers nothing yet. It fits a manager's MapperProvider.
func NewMapper(config *rest.Config, httpClient *http.Client) (meta.RESTMapper, error) {
	client, err := discovery.NewDiscoveryClientForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("make discovery client: %w", err)
	}
	m := &Mapper{client: client.RESTClient(), make: func() (meta.RESTMapper, error) { return apiutil.NewDynamicRESTMapper(config, httpClient) }}
	if m.current, err = m.make(); err != nil {
		return nil, fmt.Errorf("make mapper of kinds: %w", err)
	}
	return m, nil
}

// Reset forgets everything. It makes no request.
func (m *Mapper) Reset() {
	fresh, err := m.make()
	if err != nil { // it was made of the same configuration before
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current = fresh
	m.resets++
}

// memory says which memory the mapper has: another one after each [Mapper.Reset].
func (m *Mapper) memory() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.resets
}

func (m *Mapper) now() meta.RESTMapper {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.current
}

// RESTMapping implements meta.RESTMapper.
func (m *Mapper) RESTMapping(gk schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	return m.now().RESTMapping(gk, versions...)
}

// RESTMappings implements meta.RESTMapper. It may leave out versions that are new: see [Served].
func (m *Mapper) RESTMappings(gk schema.GroupKind, versions ...string) ([]*meta.RESTMapping, error) {
	return m.now().RESTMappings(gk, versions...)
}

// KindFor implements meta.RESTMapper.
func (m *Mapper) KindFor(resource schema.GroupVersionResource) (schema.GroupVersionKind, error) {
	return m.now().KindFor(resource)
}

// KindsFor implements meta.RESTMapper.
func (m *Mapper) KindsFor(resource schema.GroupVersionResource) ([]schema.GroupVersionKind, error) {
	return m.now().KindsFor(resource)
}

// ResourceFor implements meta.RESTMapper.
func (m *Mapper) ResourceFor(resource schema.GroupVersionResource) (schema.GroupVersionResource, error) {
	return m.now().ResourceFor(resource)
}

// ResourcesFor implements meta.RESTMapper.
func (m *Mapper) ResourcesFor(resource schema.GroupVersionResource) ([]schema.GroupVersionResource, error) {
	return m.now().ResourcesFor(resource)
}

// ResourceSingularizer implements meta.RESTMapper.
func (m *Mapper) ResourceSingularizer(resource string) (string, error) {
	return m.now().ResourceSingularizer(resource)
}

// Served asks the API server what it serves of a kind: the preferred version first, nothing when no version is. It costs a
// request for the group and one for each of its versions. When that is not what was remembered, everything remembered is
// forgotten.
func (m *Mapper) Served(ctx context.Context, gk schema.GroupKind) ([]*meta.RESTMapping, error) {
	versions, err := m.versions(ctx, gk.Group)
	if err != nil {
		return nil, err
	}
	var served []*meta.RESTMapping
	for _, version := range versions {
		mapping, err := m.resource(ctx, gk.WithVersion(version))
		if err != nil {
			return nil, err
		}
		if mapping != nil {
			served = append(served, mapping)
		}
	}
	if known, err := m.now().RESTMappings(gk); (err != nil) != (len(served) == 0) || !same(known, served) {
		m.Reset()
	}
	return served, nil
}

// versions are those of a group, the preferred one first; none when there is no such group.
func (m *Mapper) versions(ctx context.Context, group string) ([]string, error) {
	if group == "" {
		return []string{"v1"}, nil
	}
	found := &metav1.APIGroup{}
	err := m.client.Get().AbsPath("/apis", group).Do(ctx).Into(found)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("ask for the versions of API group %s: %w", group, err)
	}
	versions := make([]string, 0, len(found.Versions))
	for _, v := range found.Versions {
		if v.Version == found.PreferredVersion.Version {
			versions = append([]string{v.Version}, versions...)
			continue
		}
		versions = append(versions, v.Version)
	}
	return versions, nil
}

// resource asks for the resource of a kind in one version; nil when there is none.
func (m *Mapper) resource(ctx context.Context, gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	root := "/apis"
	if gvk.Group == "" {
		root = "/api"
	}
	list := &metav1.APIResourceList{}
	err := m.client.Get().AbsPath(root, gvk.Group, gvk.Version).Do(ctx).Into(list)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("ask for the resources of %s: %w", gvk.GroupVersion(), err)
	}
	for _, r := range list.APIResources {
		if r.Kind != gvk.Kind || strings.Contains(r.Name, "/") {
			continue
		}
		scope := meta.RESTScopeRoot
		if r.Namespaced {
			scope = meta.RESTScopeNamespace
		}
		return &meta.RESTMapping{Resource: gvk.GroupVersion().WithResource(r.Name), GroupVersionKind: gvk, Scope: scope}, nil
	}
	return nil, nil
}

// recall asks the API server for the resource of one kind and version, and forgets everything if it is another than was
// remembered.
func (m *Mapper) recall(ctx context.Context, gvk schema.GroupVersionKind) error {
	known, err := m.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil { // it has asked for that itself
		return err
	}
	now, err := m.resource(ctx, gvk)
	if err == nil && now != nil && !equal(now, known) {
		m.Reset()
	}
	return err
}

// same says whether both hold the same resources, in whatever order.
func same(a, b []*meta.RESTMapping) bool {
	if len(a) != len(b) {
		return false
	}
	for _, one := range a {
		found := false
		for _, other := range b {
			found = found || equal(one, other)
		}
		if !found {
			return false
		}
	}
	return true
}

func equal(a, b *meta.RESTMapping) bool {
	return a.Resource == b.Resource && a.Scope.Name() == b.Scope.Name()
}

// Served is [Mapper.Served] of a mapper that may be one; of another kind of mapper it is what that one says.
func Served(ctx context.Context, mapper meta.RESTMapper, gk schema.GroupKind) ([]*meta.RESTMapping, error) {
	if m, ok := mapper.(*Mapper); ok {
		return m.Served(ctx, gk)
	}
	meta.MaybeResetRESTMapper(mapper)
	served, err := mapper.RESTMappings(gk)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	return served, err
}

// Serves asks the API server whether it serves a kind in one version, whatever is remembered. A mapper that cannot be asked
// says what it remembers.
func Serves(ctx context.Context, mapper meta.RESTMapper, gvk schema.GroupVersionKind) (bool, error) {
	m, asks := mapper.(*Mapper)
	if !asks {
		_, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if meta.IsNoMatchError(err) {
			return false, nil
		}
		return err == nil, err
	}
	mapping, err := m.resource(ctx, gvk)
	return mapping != nil, err
}
