package apply

import (
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kinds looks kinds up, each once per apply: the mapper asks the API server again for one that it does not know. It also
// remembers which kinds this apply has just defined. It is safe for concurrent use.
type kinds struct {
	mapper meta.RESTMapper

	mu      sync.Mutex
	known   map[schema.GroupVersionKind]kind
	defined map[schema.GroupKind]bool
}

// kind is what is known of one.
type kind struct {
	namespaced bool
	err        error
}

func newKinds(mapper meta.RESTMapper) *kinds {
	return &kinds{
		mapper:  mapper,
		known:   map[schema.GroupVersionKind]kind{},
		defined: map[schema.GroupKind]bool{},
	}
}

// find looks a kind up. The error is as the mapper's.
func (k *kinds) find(gvk schema.GroupVersionKind) (namespaced bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if found, ok := k.known[gvk]; ok {
		return found.namespaced, found.err
	}
	mapping, err := k.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	found := kind{err: err}
	if err == nil {
		found.namespaced = mapping.Scope.Name() == meta.RESTScopeNameNamespace
	}
	k.known[gvk] = found
	return found.namespaced, found.err
}

// define notes that a kind was just defined. What was known of it before is forgotten.
func (k *kinds) define(gk schema.GroupKind) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.defined[gk] = true
	for gvk := range k.known {
		if gvk.GroupKind() == gk {
			delete(k.known, gvk)
		}
	}
}

// justDefined says whether this apply has defined the kind: the API server may take a moment to serve it.
func (k *kinds) justDefined(gk schema.GroupKind) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.defined[gk]
}
