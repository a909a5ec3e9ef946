package drift

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Pending holds what watches reported about a subject's objects and nobody has looked at: at most one signal per object.
// The zero value is empty. It is safe for concurrent use.
type Pending struct {
	mu      sync.Mutex
	drifted map[inventory.ID]Signal
	health  map[inventory.ID]bool
	ends    map[inventory.ID]bool
	lost    bool
}

// Put adds a signal. One about no object in particular says that some were lost.
func (p *Pending) Put(s Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case s.Object.ID == inventory.ID{}:
		p.lost = true
	case s.Type == Changed || s.Type == Gone:
		if p.drifted == nil {
			p.drifted = make(map[inventory.ID]Signal)
		}
		p.drifted[s.Object.ID] = s
		p.moved(s.Object.ID)
	case s.Type == StatusChanged:
		p.moved(s.Object.ID)
		p.end(s)
	}
}

func (p *Pending) moved(id inventory.ID) {
	if p.health == nil {
		p.health = make(map[inventory.ID]bool)
	}
	p.health[id] = true
}

// Due says whether a drifted object may be looked at now, and if not, how long until the first may.
func (p *Pending) Due(now time.Time, contentions Contentions) (due bool, next time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range p.drifted {
		rest := contentions.rest(id, now)
		if rest <= 0 {
			return true, 0
		}
		if next == 0 || rest < next {
			next = rest
		}
	}
	return false, next
}

// Take returns the drifted objects that may be looked at now, and removes them.
func (p *Pending) Take(now time.Time, contentions Contentions) map[inventory.ID]Signal {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := make(map[inventory.ID]Signal)
	for id, signal := range p.drifted {
		if contentions.rest(id, now) <= 0 {
			taken[id] = signal
			delete(p.drifted, id)
		}
	}
	return taken
}

// Clear forgets what drifted: everything is about to be looked at. It returns the signals, for the case that it is not.
func (p *Pending) Clear() []Signal {
	p.mu.Lock()
	defer p.mu.Unlock()
	signals := slices.Collect(maps.Values(p.drifted))
	if p.lost {
		signals = append(signals, Signal{})
	}
	p.drifted, p.lost = nil, false
	return signals
}

// PutBack returns signals that nobody has looked at after all.
func (p *Pending) PutBack(signals []Signal) {
	for _, s := range signals {
		p.Put(s)
	}
}

// TakeHealth returns the objects whose status moved, and forgets them.
func (p *Pending) TakeHealth() map[inventory.ID]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.health
	p.health = nil
	return taken
}

// State says what is waiting to be looked at.
func (p *Pending) State() (healthMoved, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.health) > 0, p.lost
}

// FoundLost removes the mark that signals were lost.
func (p *Pending) FoundLost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = false
}
