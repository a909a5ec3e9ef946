// Package peers looks at the other subjects: who of the same source is how far, and who claims an object. It reads caches,
// and the contents that others are about to apply; it writes nothing.
package peers

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Each calls do for every subject of every kind in the cache. They are the cache's own: do must not change them.
func Each(ctx context.Context, cache client.Reader, do func(subject.Key, subject.Subject) error) error {
	for _, k := range subject.Kinds() {
		list := k.NewList()
		if err := cache.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("list %s objects: %w", k.Name, err)
		}
		for _, o := range k.Items(list) {
			if err := do(subject.Key{Kind: k.Name, Namespace: o.GetNamespace(), Name: o.GetName()}, k.Of(o)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Siblings are the other subjects made from the same source: those with a Render that says so, and Kustomizations whose
// spec does and that have none yet.
func Siblings(ctx context.Context, cache client.Reader, key subject.Key, source string) ([]plan.Sibling, error) {
	renders := &v1alpha1.RenderList{}
	if err := cache.List(ctx, renders, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list Renders: %w", err)
	}
	at := make(map[subject.Key]string)
	for i := range renders.Items {
		if r := &renders.Items[i]; subject.SourceKey(r.Source) == source {
			at[subject.Key{Kind: r.Subject.Kind, Namespace: r.Namespace, Name: r.Subject.Name}] = r.Source.Revision
		}
	}
	var found []plan.Sibling
	err := Each(ctx, cache, func(other subject.Key, s subject.Subject) error {
		revision, rendered := at[other]
		if other == key || (!rendered && s.Source() != source) {
			return nil
		}
		spec := s.Plan()
		found = append(found, plan.Sibling{Name: other.String(), Rests: spec.Suspended || spec.Deleting, Revision: revision})
		return nil
	})
	return found, err
}

// Opener opens what a Render names.
type Opener interface {
	Peek(ctx context.Context, render *v1alpha1.Render) (rendering.Content, error)
}

// Claims asks who else has objects of a subject.
type Claims struct {
	// Cache has the subjects and their records, Opener their contents.
	Cache  client.Reader
	Opener Opener
	// Key is the subject, Source what it is made from.
	Key    subject.Key
	Source string
	// Strict makes what cannot be read an error; otherwise it counts as no claim.
	Strict bool
}

// Claimed are entries that another subject has, by who has them in its inventory; by nobody those that another one is about
// to apply for the first time.
type Claimed map[inventory.ID]subject.Key

// Has says whether anybody else has an object.
func (c Claimed) Has(id inventory.ID) bool { _, claimed := c[id]; return claimed }

// Of tells which of the entries another subject has in its inventory, or is about to apply.
func (c Claims) Of(ctx context.Context, entries []inventory.Entry) (Claimed, error) {
	wanted := inventory.New(entries...)
	claimed := make(Claimed)
	claim := func(inv inventory.Inventory, holder subject.Key) {
		for id := range inv {
			if wanted.Has(id) && (holder != subject.Key{} || !claimed.Has(id)) {
				claimed[id] = holder
			}
		}
	}
	err := Each(ctx, c.Cache, func(other subject.Key, s subject.Subject) error {
		if other == c.Key || s.Plan().Deleting {
			return nil
		}
		claim(subject.InventoryOf(s), other)
		planned, err := c.planned(ctx, other)
		if err != nil && c.Strict {
			return fmt.Errorf("read what %s is about to apply: %w", other, err)
		}
		claim(planned, subject.Key{})
		return nil
	})
	return claimed, err
}

// planned is what another subject of the same source has been rendered to and has not applied yet; nil when it has.
func (c Claims) planned(ctx context.Context, other subject.Key) (inventory.Inventory, error) {
	render, record := &v1alpha1.Render{}, &v1alpha1.Sync{}
	if err := c.Cache.Get(ctx, other.Record(), render); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if err := c.Cache.Get(ctx, other.Record(), record); client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	if r := render.Rendering; r == nil || r.Tag == record.Tag || subject.SourceKey(render.Source) != c.Source {
		return nil, nil
	}
	content, err := c.Opener.Peek(ctx, render)
	if err != nil {
		return nil, err
	}
	planned := make(inventory.Inventory, len(content.Objects))
	for _, o := range content.Objects {
		e := inventory.EntryOf(o.Object)
		planned[e.ID] = e.Version
	}
	return planned, nil
}
