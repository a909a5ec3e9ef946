package controller

import (
	"crypto/sha256"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/render-controller/internal/trace"
)

// memory holds what the latest rendering of each subject was made from, and what it gave. It is empty after a restart:
// every subject is rendered once then. It is safe for concurrent use.
type memory struct {
	mu       sync.Mutex
	subjects map[types.NamespacedName]memo
}

type memo struct {
	uid         types.UID
	fingerprint [sha256.Size]byte
	tag         string
	warnings    []string
	// trace is what the build read from its tree.
	trace []trace.Entry
}

func newMemory() *memory { return &memory{subjects: map[types.NamespacedName]memo{}} }

func (m *memory) set(name types.NamespacedName, latest memo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subjects[name] = latest
}

func (m *memory) forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.subjects, name)
}

// get returns what is known of a subject when it was made from the very same inputs.
func (m *memory) get(name types.NamespacedName, uid types.UID, fingerprint [sha256.Size]byte) (memo, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.subjects[name]
	return known, known.tag != "" && known.uid == uid && known.fingerprint == fingerprint
}
