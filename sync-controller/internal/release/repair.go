package release

import (
	"context"
	"fmt"

	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Repair unlocks a release that a crash left pending, or uninstalls one that the spec no longer means.
func (h helm) Repair(ctx context.Context) (Repaired, error) {
	m := *h.Memory
	h.Restart()
	records, err := h.records()
	if err != nil {
		return Repaired{}, err
	}
	if m.decision.Step == StepUnlock {
		_, err := records.Unlock(ctx, RefOf(h.hr), m.latest)
		return Repaired{}, err
	}
	old, recorded := RecordedRef(h.hr)
	if !recorded {
		return Repaired{}, nil
	}
	t, err := h.Target()
	if err != nil {
		return Repaired{}, err
	}
	result, err := t.Pruner.Prune(ctx, subject.InventoryOf(h.subject).Entries())
	if err != nil {
		return Repaired{}, fmt.Errorf("uninstall release %s: %w", old, err)
	}
	if _, err := records.Uninstall(ctx, old, h.hr.GetUninstall().KeepHistory); err != nil {
		return Repaired{Changes: result.Changes}, err
	}
	h.hr.Status.History, h.hr.Status.Inventory = nil, nil
	return Repaired{Changes: result.Changes, Uninstalled: true}, nil
}
