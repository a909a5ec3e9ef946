package controller

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// mailbox holds what watches reported about a subject's objects and nobody has looked at: at most one signal per object.
// The zero value is empty. It is safe for concurrent use.
type mailbox struct {
	mu      sync.Mutex
	drifted map[inventory.ID]drift.Signal
	health  map[inventory.ID]bool
	lost    bool
	// unrecorded says that somebody deleted the subject's Sync record.
	unrecorded bool
}

// put adds a signal. One about no object in particular says that some were lost.
func (m *mailbox) put(s drift.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case s.Object.ID == inventory.ID{}:
		m.lost = true
	case s.Type == drift.Changed || s.Type == drift.Gone:
		if m.drifted == nil {
			m.drifted = make(map[inventory.ID]drift.Signal)
		}
		m.drifted[s.Object.ID] = s
		m.moved(s.Object.ID)
	case s.Type == drift.StatusChanged:
		m.moved(s.Object.ID)
	}
}

func (m *mailbox) moved(id inventory.ID) {
	if m.health == nil {
		m.health = make(map[inventory.ID]bool)
	}
	m.health[id] = true
}

// due says whether a drifted object may be looked at now, and if not, how long until the first may.
func (m *mailbox) due(now time.Time, fights map[inventory.ID]*fight) (due bool, next time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.drifted {
		rest := fights[id].rest(now)
		if rest <= 0 {
			return true, 0
		}
		if next == 0 || rest < next {
			next = rest
		}
	}
	return false, next
}

// take returns the drifted objects that may be looked at now, and removes them.
func (m *mailbox) take(now time.Time, fights map[inventory.ID]*fight) map[inventory.ID]drift.Signal {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := make(map[inventory.ID]drift.Signal)
	for id, signal := range m.drifted {
		if fights[id].rest(now) <= 0 {
			taken[id] = signal
			delete(m.drifted, id)
		}
	}
	return taken
}

// clear forgets what drifted: everything is about to be looked at. It returns the signals, for the case that it is not.
func (m *mailbox) clear() []drift.Signal {
	m.mu.Lock()
	defer m.mu.Unlock()
	signals := slices.Collect(maps.Values(m.drifted))
	if m.lost {
		signals = append(signals, drift.Signal{})
	}
	m.drifted, m.lost = nil, false
	return signals
}

// putBack returns signals that nobody has looked at after all.
func (m *mailbox) putBack(signals []drift.Signal) {
	for _, s := range signals {
		m.put(s)
	}
}

// takeHealth returns the objects whose status moved, and forgets them.
func (m *mailbox) takeHealth() map[inventory.ID]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.health
	m.health = nil
	return taken
}

// state says what is waiting to be looked at.
func (m *mailbox) state() (healthMoved, lost bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.health) > 0, m.lost
}

// found removes the mark that signals were lost.
func (m *mailbox) found() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = false
}

// loseRecord notes that the Sync record was deleted; lostRecord says so, once.
func (m *mailbox) loseRecord() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unrecorded = true
}

func (m *mailbox) lostRecord() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	lost := m.unrecorded
	m.unrecorded = false
	return lost
}

// Times of a fight over an object.
const (
	fightCalm  = 5 * time.Minute
	fightFirst = time.Second
	fightMax   = 5 * time.Minute
	// fightFree is how many corrections in a row are made at once.
	fightFree = 3
)

// fight counts corrections of an object that follow each other too fast. Nil is no fight.
type fight struct {
	count int
	last  time.Time
}

// rest is how long the next correction has to wait.
func (f *fight) rest(now time.Time) time.Duration {
	if f == nil || f.count <= fightFree {
		return 0
	}
	pause := min(fightMax, fightFirst<<min(f.count-fightFree, 10))
	return pause - now.Sub(f.last)
}

// corrected counts another correction; a calm time ends the fight before.
func (f *fight) corrected(now time.Time) {
	if f.over(now) {
		f.count = 0
	}
	f.count++
	f.last = now
}

// over says that nothing has happened for so long that the next correction is the first again.
func (f *fight) over(now time.Time) bool { return now.Sub(f.last) > fightCalm+f.pause() }

func (f *fight) pause() time.Duration { return max(0, f.rest(f.last)) }
