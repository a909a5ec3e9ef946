package controller

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/sync-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/sync-controller/internal/coexist"
	"github.com/sluice-gitops/sluice/sync-controller/internal/dependency"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/events"
	"github.com/sluice-gitops/sluice/sync-controller/internal/fingerprint"
	"github.com/sluice-gitops/sluice/sync-controller/internal/health"
	"github.com/sluice-gitops/sluice/sync-controller/internal/journal"
	"github.com/sluice-gitops/sluice/sync-controller/internal/record"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release"
	"github.com/sluice-gitops/sluice/sync-controller/internal/store"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// memory is everything that is remembered of one subject between reconciliations. Only the reconciliation of that subject
// uses it; pending and recordDeleted alone are shared with the watches.
type memory struct {
	// pending are the signals about its objects.
	pending drift.Pending
	// recordDeleted says that somebody deleted the subject's Sync record.
	recordDeleted atomic.Bool

	uid    types.UID
	loaded bool
	// attempt and fingerprints are kept on disk.
	attempt      attempt.Attempt
	fingerprints fingerprint.Set
	writes       subject.Writes
	record       record.Record
	reported     events.Reported
	journal      journal.Memory
	release      release.Memory
	health       health.Tracker
	contentions  drift.Contentions
	flux         coexist.Found

	// validated is the generation whose expressions were compiled, invalid what was wrong with them.
	validated   int64
	invalid     string
	expressions dependency.Expressions
	// unwatchedSince is since when objects may have changed unseen without having been compared; zero when they have not.
	unwatchedSince time.Time
	// unlistedSince is since when there are objects whose end is to be looked for as soon as a watch has listed them; zero when
	// there are none.
	unlistedSince time.Time
	// unrenderedSince is since when there is no Render that matches.
	unrenderedSince time.Time
	// gate is the source whose Renders a prune waits for; empty when none does.
	gate string
	// postponedUntil is how long a correction waits, as far as that was counted.
	postponedUntil time.Time
	// healthAwaited says that the running attempt had to wait for health.
	healthAwaited bool
	deletion      deletion
}

// load reads what is kept of the subject: on disk, and in its Sync record.
func (r *reconciliation) load(ctx context.Context, now time.Time) error {
	m, uid := r.memory, r.subject.Object().GetUID()
	m.uid = uid
	if err := m.restore(r.Store, r.key); err != nil {
		return err
	}
	var err error
	if m.record, err = record.Load(ctx, r.Client, r.key, uid); err != nil {
		return err
	}
	m.attempt.DropReported(m.record.LastChange())
	r.Managed.Set(r.owner(), subject.InventoryOf(r.subject))
	m.loaded, m.unwatchedSince = true, now
	r.lookForAll()
	return nil
}

// restore reads what is kept on disk. What is kept of another subject of the same name does not count.
func (m *memory) restore(kept *store.Store, key subject.Key) error {
	var saved attempt.Progress
	if err := kept.State(key, &saved); err != nil && !errors.Is(err, store.ErrAbsent) {
		return err
	}
	m.fingerprints = make(fingerprint.Set)
	if !m.attempt.Restore(saved, m.uid) {
		return nil
	}
	if err := kept.Fingerprints(key, &m.fingerprints); err != nil && !errors.Is(err, store.ErrAbsent) {
		return err
	}
	return nil
}

// memories holds the memory of every subject of one kind. It is safe for concurrent use.
type memories struct {
	mu  sync.Mutex
	all map[subject.Key]*memory
}

// of returns the subject's memory, and makes it if needed.
func (m *memories) of(key subject.Key) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = make(map[subject.Key]*memory)
	}
	found, ok := m.all[key]
	if !ok {
		found = &memory{contentions: make(drift.Contentions)}
		m.all[key] = found
	}
	return found
}

// find returns the subject's memory if there is one.
func (m *memories) find(key subject.Key) (found *memory, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found, ok = m.all[key]
	return found, ok
}

// forget drops the subject's memory.
func (m *memories) forget(key subject.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, key)
}
