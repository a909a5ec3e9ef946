package controller

import (
	"context"
	"errors"

	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/peers"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// prune deletes what left the inventory and nobody else has taken over.
func (r *reconciliation) prune(ctx context.Context, state plan.State) (done bool, err error) {
	m := r.memory
	if m.attempt.Planned == nil {
		return true, errors.New("prune before an apply of this process")
	}
	remove, claimed, err := r.unclaimed(ctx, inventory.Difference(subject.InventoryOf(r.subject), m.attempt.Planned))
	if err != nil {
		return true, err
	}
	t, err := r.target()
	if err != nil {
		return true, err
	}
	started := r.Now()
	result, err := t.Pruner.Prune(ctx, remove)
	r.Metrics.Pruned(r.Kind.Name, r.Now().Sub(started), err)
	if ctx.Err() != nil {
		return true, ctx.Err()
	}
	m.attempt.AddChanges(result.Changes, r.Now())
	m.attempt.Survivors = result.Survivors
	r.passGate()
	if err != nil {
		return false, r.fail(ctx, state, plan.Action{Step: plan.Fail, Reason: plan.ReasonPruneFailed, Message: err.Error()})
	}
	r.handOver(claimed)
	m.attempt.Stage = plan.Pruned
	return false, r.save()
}

// unclaimed are the entries that no other subject has in its inventory, or is about to apply; and the others.
func (r *reconciliation) unclaimed(ctx context.Context, entries []inventory.Entry) ([]inventory.Entry, peers.Claimed, error) {
	gated := r.now.Sub(r.memory.attempt.AppliedAt) < plan.PruneGate
	claimed, err := r.claims(gated).Of(ctx, entries)
	if err != nil {
		return nil, nil, err
	}
	remove, _ := plan.Split(entries, claimed.Has)
	return remove, claimed, nil
}

// handOver has the other holders look at what this subject lets go. It may have been the last to apply it: then the objects
// carry its content and its labels, and no watch of a holder sees them.
func (r *reconciliation) handOver(claimed peers.Claimed) {
	for id, holder := range claimed {
		for _, k := range subject.Kinds() {
			if k.Name == holder.Kind {
				r.Signal(drift.Signal{Owner: k.Owner(holder), Object: inventory.Entry{ID: id}, Type: drift.Changed})
			}
		}
	}
}

// passGate stops waiting for the Renders of the source.
func (r *reconciliation) passGate() {
	if m := r.memory; m.gate != "" {
		r.Gates.Pass(m.gate, r.key)
		m.gate = ""
	}
}
