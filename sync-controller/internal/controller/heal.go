package controller

import (
	"context"
	"maps"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/heal"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// heal looks at the objects that watches reported as changed by somebody else, and corrects them from the content that was
// applied last. What cannot be corrected is tried again, later each time, and at the next apply of everything.
func (r *reconciliation) heal(ctx context.Context) error {
	m := r.memory
	signals := m.pending.Take(r.now, m.contentions)
	ours := subject.InventoryOf(r.subject)
	maps.DeleteFunc(signals, func(id inventory.ID, _ drift.Signal) bool { return !ours.Has(id) })
	m.contentions.Expire(r.now)
	if len(signals) == 0 { // what was pruned, or only carries our label
		return nil
	}
	out, err := heal.Correct(ctx, heal.Input{
		Signals: signals, Content: r.lastApplied, Applier: r.healer, Reader: r.reader, Ours: ours.Has, Force: r.subject.Force(),
		Fingerprints: m.fingerprints, Key: r.fingerprintKey(), Save: r.saveFingerprints,
		Contentions: m.contentions, Now: r.now,
	})
	if err != nil {
		return err
	}
	for _, s := range out.Refused {
		m.pending.Put(s)
	}
	for _, c := range out.Corrections {
		r.lookFor(c.ID)
	}
	return r.tellDrift(ctx, out)
}

func (r *reconciliation) healer() (heal.Applier, error) {
	t, err := r.target()
	return t.Applier, err
}

func (r *reconciliation) reader() (client.Reader, error) {
	t, err := r.target()
	return t.Client, err
}

// catchUp reports what a watch would have, had there been one: objects that are not as they were left.
func (r *reconciliation) catchUp() {
	m, ours := r.memory, subject.InventoryOf(r.subject)
	m.unwatchedSince = time.Time{}
	for id, found := range m.fingerprints.Moved(ours, r.live) {
		signal := drift.Signal{Owner: r.owner(), Object: inventory.Entry{ID: id, Version: ours[id]}, Type: drift.Changed}
		if !found {
			signal.Type, signal.Unseen = drift.Gone, true
		}
		m.pending.Put(signal)
	}
}
