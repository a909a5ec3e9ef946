package controller

import (
	"context"
	"maps"
	"slices"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/sync-controller/internal/completion"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// lookFor has it looked at whether an object has come to its end, if only a look tells. A watch tells of what happens from its
// first listing on: after a start, after an apply, and when signals were lost, the end may be there already.
func (r *reconciliation) lookFor(id inventory.ID) {
	if r.memory.fingerprints.State(id).LooksFor(id.GroupKind) {
		r.memory.pending.LookFor(id)
	}
}

// lookForAll is lookFor for everything that the subject has.
func (r *reconciliation) lookForAll() {
	for id := range subject.InventoryOf(r.subject) {
		r.lookFor(id)
	}
}

// noteEnds remembers which of the objects whose status has moved have come to their end: once they are gone, nothing tells.
// What could not be read, and what may end unseen after this look, is looked at again.
func (r *reconciliation) noteEnds(ctx context.Context) error {
	m := r.memory
	ended, look := r.ends()
	found, unread := r.look(ctx, look)
	if err := unread.Err(); err != nil {
		m.pending.LookFor(slices.Collect(maps.Keys(unread))...)
		ctrl.LoggerFrom(ctx).V(logkey.Debug).Info("ends of objects are not looked for", logkey.Objects, len(unread), logkey.Problem, err.Error())
	}
	for _, id := range found {
		state := m.fingerprints.State(id)
		state.Ended = true
		ended[id] = state
	}
	if !m.fingerprints.SetStates(ended) {
		return nil
	}
	return r.saveFingerprints()
}

// ends takes the objects whose status has moved: those of which metadata tell, and those to look at. What no watch has listed
// is left for when one has, which is not waited for for ever.
func (r *reconciliation) ends() (told map[inventory.ID]completion.State, look []inventory.Entry) {
	m, ours := r.memory, subject.InventoryOf(r.subject)
	told = make(map[inventory.ID]completion.State)
	now, unlisted := r.Now(), false
	for id, tells := range m.pending.TakeEnds() {
		state := m.fingerprints.State(id)
		switch {
		case completion.MetadataTell(id.GroupKind):
			state.Ended = tells
			told[id] = state
		case !ours.Has(id) || !state.LooksFor(id.GroupKind):
		case r.Watcher.Synced(r.Kind.Group, id.GroupKind):
			look = append(look, inventory.Entry{ID: id, Version: ours[id]})
		default:
			unlisted = true
			m.pending.LookFor(id)
			if !m.unlistedSince.IsZero() && !m.awaitsListing(now) {
				look = append(look, inventory.Entry{ID: id, Version: ours[id]})
			}
		}
	}
	switch {
	case !unlisted:
		m.unlistedSince = time.Time{}
	case m.unlistedSince.IsZero():
		m.unlistedSince = now
	}
	return told, look
}

// look says which of the objects have come to their end, and which could not be read.
func (r *reconciliation) look(ctx context.Context, at []inventory.Entry) ([]inventory.ID, completion.Unread) {
	if len(at) == 0 {
		return nil, nil
	}
	reader, err := r.reader()
	if err != nil {
		unread := make(completion.Unread, len(at))
		for _, e := range at {
			unread[e.ID] = err
		}
		return nil, unread
	}
	return completion.Ended(ctx, reader, at)
}

// awaitsListing says whether there are objects whose end is looked for as soon as a watch has listed them, and it is worth to
// wait for that.
func (m *memory) awaitsListing(now time.Time) bool {
	return !m.unlistedSince.IsZero() && now.Sub(m.unlistedSince) < plan.SyncPatience
}
