package apply

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// lookups looks kinds up, each once per apply: the mapper asks the API server again for one that it does not know. It also
// remembers which kinds this apply has just defined. It is safe for concurrent use.
type lookups struct {
	mapper meta.RESTMapper

	mu      sync.Mutex
	known   map[schema.GroupVersionKind]kind
	defined map[schema.GroupKind]time.Time
}

// kind is what is known of one.
type kind struct {
	namespaced bool
	err        error
}

func newLookups(mapper meta.RESTMapper) *lookups {
	return &lookups{
		mapper:  mapper,
		known:   map[schema.GroupVersionKind]kind{},
		defined: map[schema.GroupKind]time.Time{},
	}
}

// find looks a kind up. The error is as the mapper's.
func (k *lookups) find(gvk schema.GroupVersionKind) (namespaced bool, err error) {
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
func (k *lookups) define(gk schema.GroupKind) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.defined[gk] = time.Now()
	for gvk := range k.known {
		if gvk.GroupKind() == gk {
			delete(k.known, gvk)
		}
	}
}

// justDefined says whether this apply has defined the kind, and how long ago that was: the API server may take a moment to
// serve it.
func (k *lookups) justDefined(gk schema.GroupKind) (age time.Duration, defined bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, defined := k.defined[gk]
	return time.Since(at), defined
}
