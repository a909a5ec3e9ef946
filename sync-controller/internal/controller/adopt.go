package controller

import (
	"context"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release"
)

// adopt puts what a recorded release holds into an inventory that nobody has kept: Flux does since 2.8, Helm never did.
// Otherwise nothing of it would ever be pruned, or deleted with the release. Objects that do not name this subject as their
// owner stay all the same.
func (p *pass) adopt(latest *release.Release) error {
	h, isHelm := p.helm()
	if !isHelm || h.hr.Status.Inventory != nil || latest == nil {
		return nil
	}
	facts := latest.Facts()
	if facts.Status == release.StatusUninstalled {
		return nil
	}
	objects, err := latest.Objects()
	if err != nil {
		return err
	}
	if _, err := release.DefaultNamespace(objects, p.Mapper, facts.Namespace); err != nil {
		return err
	}
	inv := make(inventory.Inventory, len(objects))
	for _, o := range objects {
		e := inventory.EntryOf(o)
		inv[e.ID] = e.Version
	}
	p.subject.setInventory(inv.Refs())
	return nil
}

// adoptRecorded does so for a release that is about to be deleted, if the status speaks of one.
func (p *pass) adoptRecorded(ctx context.Context) error {
	h, isHelm := p.helm()
	if !isHelm || h.hr.Status.Inventory != nil {
		return nil
	}
	ref, recorded := release.RecordedRef(h.hr)
	if !recorded {
		return nil
	}
	storage, err := p.storage()
	if err != nil {
		return err
	}
	latest, err := storage.Latest(ctx, ref)
	if err != nil {
		return err
	}
	return p.adopt(latest)
}
