package peers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Gates are the subjects that wait, before they prune, until the others of their source are rendered. The zero value is
// empty. It is safe for concurrent use.
type Gates struct {
	mu sync.Mutex
	// waiting, by source.
	waiting map[string]map[subject.Key]bool
}

// Wait notes that a subject's prune waits for the Renders of its source; Pass that it does not any more.
func (g *Gates) Wait(source string, key subject.Key) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting == nil {
		g.waiting = make(map[string]map[subject.Key]bool)
	}
	if g.waiting[source] == nil {
		g.waiting[source] = make(map[subject.Key]bool)
	}
	g.waiting[source][key] = true
}

// Pass ends the wait of a subject for a source.
func (g *Gates) Pass(source string, key subject.Key) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pass(source, key)
}

// Leave ends all waits of a subject.
func (g *Gates) Leave(key subject.Key) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for source := range g.waiting {
		g.pass(source, key)
	}
}

func (g *Gates) pass(source string, key subject.Key) {
	delete(g.waiting[source], key)
	if len(g.waiting[source]) == 0 {
		delete(g.waiting, source)
	}
}

// Waiting returns the subjects of a kind whose prune waits for a Render of the source.
func (g *Gates) Waiting(source, kind string) []types.NamespacedName {
	g.mu.Lock()
	defer g.mu.Unlock()
	var names []types.NamespacedName
	for key := range g.waiting[source] {
		if key.Kind == kind {
			names = append(names, key.Object())
		}
	}
	return names
}

// Len is how many sources anybody waits for.
func (g *Gates) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}
