package release

import (
	"context"

	"github.com/sluice-gitops/sluice/sync-controller/internal/content"
	"github.com/sluice-gitops/sluice/sync-controller/internal/hindrance"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release/storage"
)

// adopt puts what a recorded release holds into an inventory that nobody has kept: Flux does since 2.8, Helm never did.
// Otherwise nothing of it would ever be pruned, or deleted with the release. Objects that do not name this subject as their
// owner stay all the same.
func (h helm) adopt(latest *storage.Release) error {
	if h.hr.Status.Inventory != nil || latest == nil {
		return nil
	}
	facts := latest.Facts()
	if facts.Status == storage.StatusUninstalled {
		return nil
	}
	objects, err := latest.Objects()
	if err != nil {
		return &hindrance.Error{Cause: hindrance.Unreadable, What: "release " + latest.FullName(), Message: err.Error()}
	}
	if _, err := content.DefaultNamespace(objects, h.Mapper, facts.Namespace); err != nil {
		return err
	}
	inv := make(inventory.Inventory, len(objects))
	for _, o := range objects {
		e := inventory.EntryOf(o)
		inv[e.ID] = e.Version
	}
	h.subject.SetInventory(inv.Refs())
	return nil
}

// Adopt does so for a release that is about to be deleted, if the status speaks of one.
func (h helm) Adopt(ctx context.Context) error {
	if h.hr.Status.Inventory != nil {
		return nil
	}
	ref, recorded := RecordedRef(h.hr)
	if !recorded {
		return nil
	}
	records, err := h.records()
	if err != nil {
		return err
	}
	latest, err := records.Latest(ctx, ref)
	if err != nil {
		return err
	}
	return h.adopt(latest)
}
