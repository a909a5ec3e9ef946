// Package prune deletes what no longer belongs to a subject: only what still says that it is the subject's, and only the
// very object that said so.
package prune

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/hindrance"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/kinds"
)

// DefaultConcurrency of a [Pruner].
const DefaultConcurrency = 8

// Pruner deletes objects of one subject. Fill in the fields; it keeps no state and is safe for concurrent use.
type Pruner struct {
	// Client talks to the API server without a cache, as the identity that the subject is applied with.
	Client client.Client
	// Owner is whose objects may be deleted.
	Owner inventory.Owner
	// Concurrency is how many objects of one rank are deleted at once; DefaultConcurrency when zero.
	Concurrency int
}

// Result is what became of the stale objects.
type Result struct {
	// Changes holds the deleted, the skipped and the kept. An object that was already gone is in neither.
	Changes apply.ChangeSet
	// Survivors are those whose deletion failed: they stay in the inventory, to be tried again.
	Survivors []inventory.Entry
}

// Prune deletes the stale objects in the reverse of the order in which they are applied, with background propagation. It
// costs two requests per object: its metadata, and the deletion, bound to the UID that was read.
//
// An object is skipped, and so released, when its labels no longer name the owner, or when it says prune or reconcile
// disabled, ssa Ignore, or (for a Helm release) resource-policy keep, or is a definition of a chart's crds/. A failure does
// not stop the others; the error joins all of them, each a [hindrance.Error].
func (p *Pruner) Prune(ctx context.Context, stale []inventory.Entry) (Result, error) {
	stale = slices.Clone(stale)
	inventory.SortForApply(stale)
	slices.Reverse(stale)
	outcomes := make([]outcome, len(stale))
	order := inventory.NewOrder()
	for start := 0; start < len(stale); {
		rank, end := order.Rank(stale[start].ID.GroupKind.Kind), start+1
		for end < len(stale) && order.Rank(stale[end].ID.GroupKind.Kind) == rank {
			end++
		}
		p.each(end-start, func(i int) { outcomes[start+i] = p.one(ctx, stale[start+i]) })
		start = end
	}
	return collect(stale, outcomes)
}

// Terminating returns which of the deleted objects are still there, waiting for their finalizers. It makes one request per
// object and does not wait; call it again for deletionPolicy WaitForTermination. An object of the same name that nobody is
// deleting is another one, and not counted. An object that could not be read is counted, and is in the error.
func (p *Pruner) Terminating(ctx context.Context, deleted []inventory.Entry) ([]inventory.Entry, error) {
	there := make([]bool, len(deleted))
	errs := make([]error, len(deleted))
	p.each(len(deleted), func(i int) {
		live, err := p.read(ctx, deleted[i])
		errs[i] = err
		there[i] = err != nil || live != nil && live.DeletionTimestamp != nil
	})
	var left []inventory.Entry
	for i, e := range deleted {
		if there[i] {
			left = append(left, e)
		}
	}
	return left, errors.Join(errs...)
}

// outcome of one deletion. Without action and error the object was already gone.
type outcome struct {
	action apply.Action
	err    error
}

func (p *Pruner) one(ctx context.Context, e inventory.Entry) outcome {
	if err := ctx.Err(); err != nil {
		return outcome{err: fmt.Errorf("%s is not deleted: %w", inventory.Describe(e.ID), err)}
	}
	live, err := p.read(ctx, e)
	switch {
	case err != nil:
		return outcome{err: err}
	case live == nil:
		return outcome{}
	case !mayDelete(live, p.Owner):
		return outcome{action: apply.Skipped}
	case live.DeletionTimestamp != nil:
		return outcome{action: apply.Deleted}
	}
	return p.delete(ctx, e, live)
}

// delete asks for the deletion of the object that was read.
func (p *Pruner) delete(ctx context.Context, e inventory.Entry, live *metav1.PartialObjectMetadata) outcome {
	err := p.Client.Delete(ctx, live, client.Preconditions{UID: &live.UID},
		client.PropagationPolicy(metav1.DeletePropagationBackground))
	switch {
	case err == nil:
		return outcome{action: apply.Deleted}
	case apierrors.IsNotFound(err):
		return outcome{}
	case apierrors.IsConflict(err):
		return outcome{err: fmt.Errorf("%s is not deleted: it was replaced by another object meanwhile", inventory.Describe(e.ID))}
	}
	return outcome{err: fmt.Errorf("delete failed: %w", said(e, err))}
}

// read gets the metadata of an object, in whatever version is served; nil when it, or its kind, does not exist. That is only
// believed of an answer: what cannot be found out is an error.
//
// An entry of a kind without namespaces may name one: when its kind was not known yet, nobody could tell. It is not the
// object that the API server finds by the name alone: that one has an entry of its own.
func (p *Pruner) read(ctx context.Context, e inventory.Entry) (*metav1.PartialObjectMetadata, error) {
	live, err := p.get(ctx, e)
	if kinds.Unserved(err) {
		live, err = p.readServed(ctx, e)
	}
	switch {
	case apierrors.IsNotFound(err) && !kinds.Unserved(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("query failed: %w", said(e, err))
	case live == nil || live.Namespace != e.ID.Namespace:
		return nil, nil
	}
	return live, nil
}

func (p *Pruner) get(ctx context.Context, e inventory.Entry) (*metav1.PartialObjectMetadata, error) {
	live := target(e)
	err := p.Client.Get(ctx, client.ObjectKeyFromObject(live), live)
	return live, err
}

// readServed reads an object whose version is not served any more, which says nothing about the object: in a version that
// is. It is nil when the kind is gone, and everything of it with it.
func (p *Pruner) readServed(ctx context.Context, e inventory.Entry) (*metav1.PartialObjectMetadata, error) {
	served, err := kinds.Served(ctx, p.Client.RESTMapper(), e.ID.GroupKind)
	if err != nil {
		return nil, err
	}
	if len(served) == 0 {
		return nil, p.defined(ctx, e.ID.GroupKind)
	}
	return p.get(ctx, inventory.Entry{ID: e.ID, Version: served[0].GroupVersionKind.Version})
}

// defined is an error for a kind that is not served and still defined: its objects are there, and nobody can reach them. That
// the definition may not be read is none: then the word of the API server is all there is.
func (p *Pruner) defined(ctx context.Context, gk schema.GroupKind) error {
	plural, _ := meta.UnsafeGuessKindToResource(gk.WithVersion(""))
	definition := &metav1.PartialObjectMetadata{}
	definition.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	name := plural.GroupResource().String()
	switch err := p.Client.Get(ctx, client.ObjectKey{Name: name}, definition); {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return nil
	case err != nil:
		return err
	}
	return &hindrance.Error{
		Cause:   hindrance.Unserved,
		Message: fmt.Sprintf("CustomResourceDefinition/%s serves no version of it: serve one, so that it can be found and deleted", name),
	}
}

// said is what the API server answered about an object, without anything that may be secret, and whether asking again can
// help.
func said(e inventory.Entry, err error) error {
	return &hindrance.Error{
		Cause: hindrance.Of(err), What: inventory.Describe(e.ID), Namespace: e.ID.Namespace,
		Message: redact.Object(err, e.ID.GroupKind.Kind, e.ID.Namespace, e.ID.Name, false),
	}
}

func target(e inventory.Entry) *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: e.ID.Namespace, Name: e.ID.Name}}
	o.SetGroupVersionKind(e.Kind())
	return o
}

// each calls do for 0 to n-1, some of them at once.
func (p *Pruner) each(n int, do func(i int)) {
	limit := p.Concurrency
	if limit <= 0 {
		limit = DefaultConcurrency
	}
	var group errgroup.Group
	group.SetLimit(limit)
	for i := range n {
		group.Go(func() error {
			do(i)
			return nil
		})
	}
	_ = group.Wait()
}

func collect(stale []inventory.Entry, outcomes []outcome) (Result, error) {
	var result Result
	var errs []error
	for i, o := range outcomes {
		switch {
		case o.err != nil:
			errs = append(errs, o.err)
			result.Survivors = append(result.Survivors, stale[i])
		case o.action != "":
			result.Changes = append(result.Changes, apply.Change{Entry: stale[i], Action: o.action})
		}
	}
	return result, errors.Join(errs...)
}
