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
	uid        types.UID
	generation int64
	// settings is the fingerprint of all inputs but the artifact, which is known by its digest.
	settings [sha256.Size]byte
	artifact string
	// tag and warnings are what the rendering gave; trace is what it asked its tree.
	tag      string
	warnings []string
	trace    []trace.Entry
	// missing is the URL at which there was no artifact.
	missing string
	// gaveWay is the digest of the artifact for which the subject has let others go first.
	gaveWay string
}

func newMemory() *memory { return &memory{subjects: map[types.NamespacedName]memo{}} }

// update changes what is known of a subject, and returns it.
func (m *memory) update(name types.NamespacedName, change func(*memo)) memo {
	m.mu.Lock()
	defer m.mu.Unlock()
	latest := m.subjects[name]
	change(&latest)
	m.subjects[name] = latest
	return latest
}

// missing notes that there is nothing at a URL, and says whether there was nothing before either.
func (m *memory) missing(name types.NamespacedName, uid types.UID, url string) (again bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.subjects[name]
	if known.uid != uid {
		known = memo{uid: uid}
	}
	again = known.missing == url
	known.missing = url
	m.subjects[name] = known
	return again
}

func (m *memory) forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.subjects, name)
}

// get returns what is known of a subject; nothing of another of the same name before it.
func (m *memory) get(name types.NamespacedName, uid types.UID) memo {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.subjects[name]; known.uid == uid {
		return known
	}
	return memo{}
}
