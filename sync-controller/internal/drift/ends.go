package drift

import "github.com/sluice-gitops/sluice/sync-controller/internal/inventory"

// TakeEnds returns the objects whose status has moved since the last call, and whether metadata tell of their end.
func (p *Pending) TakeEnds() map[inventory.ID]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.ends
	p.ends = nil
	return taken
}

// LookFor adds objects to those whose status has moved, as far as anybody knows: to be looked at, because no watch tells.
func (p *Pending) LookFor(ids ...inventory.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if _, told := p.ends[id]; !told {
			p.end(Signal{Object: inventory.Entry{ID: id}})
		}
	}
}

// end notes whether an object whose status has moved has ended. The last word counts: a Job may look ended, and run again.
func (p *Pending) end(s Signal) {
	if p.ends == nil {
		p.ends = make(map[inventory.ID]bool)
	}
	p.ends[s.Object.ID] = s.Ended
}

// Deleted are the objects that were seen to go, and whose last metadata tell of no end.
func Deleted(signals []Signal) map[inventory.ID]bool {
	deleted := make(map[inventory.ID]bool)
	for _, s := range signals {
		if s.Type == Gone && !s.Ended && !s.Unseen {
			deleted[s.Object.ID] = true
		}
	}
	return deleted
}
