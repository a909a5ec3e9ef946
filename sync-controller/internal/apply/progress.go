package apply

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Progress says what an apply is doing while it runs, for people who wait for it. The zero value is ready, and a nil one takes
// no notes. It is safe for concurrent use.
type Progress struct {
	mu       sync.Mutex
	doing    string
	done, of int
	waits    map[inventory.ID]string
}

// String returns what is waited for, "waiting for CustomResourceDefinition/x: the API server does not serve it yet, and for 2
// more", or else how far the stage is, "definitions: 3 of 14 written"; empty before the first stage.
func (p *Progress) String() string {
	if p == nil {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.waits) > 0:
		first := slices.SortedFunc(maps.Keys(p.waits), inventory.NewOrder().Compare)[0]
		text := "waiting for " + inventory.Describe(first) + ": " + p.waits[first]
		if more := len(p.waits) - 1; more > 0 {
			text += fmt.Sprintf(", and for %d more", more)
		}
		return text
	case p.of == 0:
		return ""
	}
	return fmt.Sprintf(p.doing, p.done, p.of)
}

// begin notes what is done next with a number of objects: a format for how many of how many.
func (p *Progress) begin(doing string, of int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing, p.done, p.of = doing, 0, of
}

// step notes that one more is done.
func (p *Progress) step() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
}

// wait notes what an object is waited for; with an empty reason that it is not any more.
func (p *Progress) wait(id inventory.ID, why string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if why == "" {
		delete(p.waits, id)
		return
	}
	if p.waits == nil {
		p.waits = make(map[inventory.ID]string)
	}
	p.waits[id] = why
}
