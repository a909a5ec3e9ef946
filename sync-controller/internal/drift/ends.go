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

// end notes whether an object whose status has moved has ended.
func (p *Pending) end(s Signal) {
	if p.ends == nil {
		p.ends = make(map[inventory.ID]bool)
	}
	p.ends[s.Object.ID] = p.ends[s.Object.ID] || s.Ended
}

// Deleted are the objects that signals call gone before they had ended.
func Deleted(signals []Signal) map[inventory.ID]bool {
	deleted := make(map[inventory.ID]bool)
	for _, s := range signals {
		if s.Type == Gone && !s.Ended && !s.Unseen {
			deleted[s.Object.ID] = true
		}
	}
	return deleted
}
