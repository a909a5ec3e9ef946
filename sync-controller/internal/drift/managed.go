package drift

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Kinds is what [Managed] steers; *Watcher outside of tests.
type Kinds interface {
	SetKinds(kinds []Kind)
	Synced(ownerGroup string, kind schema.GroupKind) bool
}

// Managed has exactly the kinds watched that subjects have objects of. Make it with [NewManaged]; it is safe for concurrent
// use.
type Managed struct {
	watched Kinds

	mu      sync.Mutex
	byOwner map[inventory.Owner]map[Kind]bool
}

// NewManaged returns a Managed without any subject.
func NewManaged(watched Kinds) *Managed {
	return &Managed{watched: watched, byOwner: make(map[inventory.Owner]map[Kind]bool)}
}

// Set says which objects a subject has; the watches follow.
func (m *Managed) Set(owner inventory.Owner, objects inventory.Inventory) {
	kinds := make(map[Kind]bool)
	for _, e := range objects.Entries() {
		kinds[Kind{GroupVersionKind: e.Kind(), OwnerGroup: owner.Group}] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if maps.Equal(kinds, m.byOwner[owner]) {
		return
	}
	m.byOwner[owner] = kinds
	if len(kinds) == 0 {
		delete(m.byOwner, owner)
	}
	all := make(map[Kind]bool)
	for _, of := range m.byOwner {
		maps.Copy(all, of)
	}
	m.watched.SetKinds(slices.Collect(maps.Keys(all)))
}

// Leave says that a subject has no objects any more.
func (m *Managed) Leave(owner inventory.Owner) { m.Set(owner, nil) }

// Synced says whether everything that the subject has is watched and was listed.
func (m *Managed) Synced(owner inventory.Owner) bool {
	m.mu.Lock()
	kinds := slices.Collect(maps.Keys(m.byOwner[owner]))
	m.mu.Unlock()
	return !slices.ContainsFunc(kinds, func(k Kind) bool { return !m.watched.Synced(k.OwnerGroup, k.GroupKind()) })
}
