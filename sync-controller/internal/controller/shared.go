package controller

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/keep"
)

// Shared is what the reconcilers of both kinds have in common: which kinds of objects are watched, and who waits for whom
// before pruning. Make it with [NewShared]; it is safe for concurrent use.
type Shared struct {
	watcher Watcher

	mu      sync.Mutex
	managed map[keep.Key]map[drift.Kind]bool
	// gated are the subjects whose prune waits for others of their source, by source.
	gated map[string]map[keep.Key]bool
}

// NewShared returns what reconcilers share around a watcher.
func NewShared(w Watcher) *Shared {
	return &Shared{
		watcher: w,
		managed: make(map[keep.Key]map[drift.Kind]bool),
		gated:   make(map[string]map[keep.Key]bool),
	}
}

// manage says which objects a subject has; the watches follow.
func (s *Shared) manage(key keep.Key, group string, entries []inventory.Entry) {
	kinds := make(map[drift.Kind]bool)
	for _, e := range entries {
		kinds[drift.Kind{GroupVersionKind: e.Kind(), OwnerGroup: group}] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if maps.Equal(kinds, s.managed[key]) {
		return
	}
	s.managed[key] = kinds
	if len(kinds) == 0 {
		delete(s.managed, key)
	}
	all := make(map[drift.Kind]bool)
	for _, of := range s.managed {
		maps.Copy(all, of)
	}
	s.watcher.SetKinds(slices.Collect(maps.Keys(all)))
}

// leave forgets everything about a subject.
func (s *Shared) leave(key keep.Key) {
	s.manage(key, "", nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	for source, keys := range s.gated {
		delete(keys, key)
		if len(keys) == 0 {
			delete(s.gated, source)
		}
	}
}

// synced says whether everything that the subject has is watched and was listed.
func (s *Shared) synced(key keep.Key) bool {
	s.mu.Lock()
	kinds := slices.Collect(maps.Keys(s.managed[key]))
	s.mu.Unlock()
	return !slices.ContainsFunc(kinds, func(k drift.Kind) bool { return !s.watcher.Synced(k.OwnerGroup, k.GroupKind()) })
}

// gate notes that a subject's prune waits for the Renders of its source; ungate that it does not any more.
func (s *Shared) gate(source string, key keep.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gated[source] == nil {
		s.gated[source] = make(map[keep.Key]bool)
	}
	s.gated[source][key] = true
}

func (s *Shared) ungate(source string, key keep.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.gated[source], key)
	if len(s.gated[source]) == 0 {
		delete(s.gated, source)
	}
}

// waiting returns the subjects of a kind whose prune waits for a Render of the source.
func (s *Shared) waiting(source, kind string) []types.NamespacedName {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []types.NamespacedName
	for key := range s.gated[source] {
		if key.Kind == kind {
			names = append(names, types.NamespacedName{Namespace: key.Namespace, Name: key.Name})
		}
	}
	return names
}

// wake is a reason to look at a subject that no watch of the API server brings.
type wake struct {
	name types.NamespacedName
	// soon is set for what may be bundled with what follows within a moment.
	soon bool
}

type wakeEvent = event.TypedGenericEvent[wake]
