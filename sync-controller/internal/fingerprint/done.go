package fingerprint

import (
	"github.com/sluice-gitops/sluice/sync-controller/internal/completion"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Done says for which objects of a content it is no surprise that they are gone: the same content was applied, and has come to
// its end, or removes itself then. Those in deleted were seen to go, and their last metadata told of no end.
func (s Set) Done(contents map[inventory.ID]string, deleted map[inventory.ID]bool) func(inventory.ID) bool {
	return func(id inventory.ID) bool {
		have, known := s[id.String()]
		if !known || have.Content != contents[id] {
			return false
		}
		return have.Done || have.Gone(id.GroupKind, completion.Departure{Unseen: !deleted[id]}).Done
	}
}

// IsDone says whether an object is gone because it has come to its end.
func (s Set) IsDone(id inventory.ID) bool { return s[id.String()].Done }

// SetStates remembers what became of objects. It says whether anything is remembered otherwise now.
func (s Set) SetStates(states map[inventory.ID]completion.State) (touched bool) {
	for id, state := range states {
		entry, known := s[id.String()]
		if known && entry.State != state {
			entry.State = state
			s[id.String()], touched = entry, true
		}
	}
	return touched
}

// State is what is remembered of an object.
func (s Set) State(id inventory.ID) completion.State { return s[id.String()].State }
