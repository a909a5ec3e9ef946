package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/keep"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// prune deletes what left the inventory and nobody else has taken over.
func (p *pass) prune(ctx context.Context, state plan.State) (done bool, err error) {
	if p.mem.planned == nil {
		return true, errors.New("prune before an apply of this process")
	}
	stale := inventory.Difference(p.statusInventory(), p.mem.planned)
	claimed, err := p.claimed(ctx, stale)
	if err != nil {
		return true, err
	}
	remove, _ := plan.Split(stale, func(id inventory.ID) bool { return claimed[id] })
	hands, err := p.hands()
	if err != nil {
		return true, err
	}
	result, err := hands.Pruner.Prune(ctx, p.releasable(remove))
	if ctx.Err() != nil {
		return true, ctx.Err()
	}
	p.noteChanges(result.Changes)
	p.mem.survivors = result.Survivors
	p.ungate()
	if err != nil {
		return false, p.fail(ctx, state, plan.Action{Step: plan.Fail, Reason: plan.ReasonPruneFailed, Message: err.Error()})
	}
	p.mem.record.Stage = plan.Pruned
	return false, p.save()
}

// sourceKey is the source of a Render as subject.source has it.
func sourceKey(s v1alpha1.Source) string { return s.Kind + "/" + s.Namespace + "/" + s.Name }

// ungate stops waiting for the Renders of the source.
func (p *pass) ungate() {
	if p.mem.gate != "" {
		p.Shared.ungate(p.mem.gate, p.key)
		p.mem.gate = ""
	}
}

// siblings are the other subjects made from the same source: those with a Render that says so, and Kustomizations whose
// spec does and that have none yet.
func (p *pass) siblings(ctx context.Context) ([]plan.Sibling, error) {
	source := sourceKey(p.render.Source)
	p.mem.gate = source
	p.Shared.gate(source, p.key)
	renders := &v1alpha1.RenderList{}
	if err := p.Client.List(ctx, renders, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list Renders: %w", err)
	}
	at := make(map[keep.Key]string)
	for i := range renders.Items {
		if r := &renders.Items[i]; sourceKey(r.Source) == source {
			at[keep.Key{Kind: r.Subject.Kind, Namespace: r.Namespace, Name: r.Subject.Name}] = r.Source.Revision
		}
	}
	var found []plan.Sibling
	err := p.eachSubject(ctx, func(key keep.Key, s subject) error {
		revision, rendered := at[key]
		if key == p.key || (!rendered && s.source() != source) {
			return nil
		}
		view := s.view()
		found = append(found, plan.Sibling{Name: key.String(), Rests: view.Suspended || view.Deleting, Revision: revision})
		return nil
	})
	return found, err
}

// eachSubject calls do for every subject of every kind in the cache. They are the cache's own: do must not change them.
func (p *pass) eachSubject(ctx context.Context, do func(keep.Key, subject) error) error {
	for _, k := range kinds() {
		list := k.newList()
		if err := p.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("list %s objects: %w", k.name, err)
		}
		for _, o := range k.items(list) {
			if err := do(keep.Key{Kind: k.name, Namespace: o.GetNamespace(), Name: o.GetName()}, k.wrap(o)); err != nil {
				return err
			}
		}
	}
	return nil
}

// claimed tells which of the entries another subject has in its inventory, or is about to apply. What cannot be read holds
// a prune back for as long as its gate may.
func (p *pass) claimed(ctx context.Context, entries []inventory.Entry) (map[inventory.ID]bool, error) {
	wanted := inventory.New(entries...)
	claimed := make(map[inventory.ID]bool)
	claim := func(inv inventory.Inventory) {
		for id := range inv {
			if wanted.Has(id) {
				claimed[id] = true
			}
		}
	}
	err := p.eachSubject(ctx, func(key keep.Key, s subject) error {
		if key == p.key || s.view().Deleting {
			return nil
		}
		refs, _ := inventory.Parse(s.inventory())
		claim(refs)
		planned, err := p.plannedBy(ctx, key)
		if err != nil && p.now.Sub(p.mem.record.AppliedAt) < plan.PruneGate {
			return fmt.Errorf("read what %s is about to apply: %w", key, err)
		}
		claim(planned)
		return nil
	})
	return claimed, err
}

// plannedBy is what another subject of the same source has been rendered to and has not applied yet; nil when it has.
func (p *pass) plannedBy(ctx context.Context, key keep.Key) (inventory.Inventory, error) {
	name := client.ObjectKey{Namespace: key.Namespace, Name: v1alpha1.RecordName(key.Kind, key.Name)}
	render, record := &v1alpha1.Render{}, &v1alpha1.Sync{}
	if err := p.Client.Get(ctx, name, render); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if err := p.Client.Get(ctx, name, record); client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	r := render.Rendering
	if r == nil || r.Tag == record.Tag || sourceKey(render.Source) != p.subject.source() {
		return nil, nil
	}
	sealed, err := p.Fetcher.Get(ctx, r.URL, r.Digest, r.Size)
	if err != nil {
		return nil, err
	}
	content, err := rendering.Open(bytes.NewReader(sealed), p.Identities, render.Subject.UID, rendering.Tag(r.Tag))
	if err != nil {
		return nil, err
	}
	apply.DropNamespaces(p.Mapper, content.Objects)
	planned := make(inventory.Inventory, len(content.Objects))
	for _, o := range content.Objects {
		e := inventory.EntryOf(o.Object)
		planned[e.ID] = e.Version
	}
	return planned, nil
}

// finalInventory is what the status holds after an attempt: what was applied and what could not be deleted.
func (p *pass) finalInventory() []kustomizev1.ResourceRef {
	return inventory.Union(inventory.New(p.mem.survivors...), p.mem.planned).Refs()
}

// splitKey is the namespace and name of a kind/namespace/name.
func splitKey(source string) client.ObjectKey {
	parts := strings.SplitN(source, "/", 3)
	if len(parts) < 3 {
		return client.ObjectKey{}
	}
	return client.ObjectKey{Namespace: parts[1], Name: parts[2]}
}
