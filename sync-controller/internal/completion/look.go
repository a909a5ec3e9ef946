package completion

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Unread are the objects that could not be read, and why.
type Unread map[inventory.ID]error

// Err says what was wrong with the first of them; nil when there are none.
func (u Unread) Err() error {
	ids := slices.SortedFunc(maps.Keys(u), func(a, b inventory.ID) int { return cmp.Compare(a.String(), b.String()) })
	switch len(ids) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("read %s: %w", inventory.Describe(ids[0]), u[ids[0]])
	}
	return fmt.Errorf("%d objects cannot be read, the first is %s: %w", len(ids), inventory.Describe(ids[0]), u[ids[0]])
}

// Ended reads objects, one request each, and returns those that have come to their end, and those that could not be read.
// What does not exist, or is of a kind that does not, is in neither.
func Ended(ctx context.Context, reader client.Reader, entries []inventory.Entry) ([]inventory.ID, Unread) {
	var ended []inventory.ID
	unread := make(Unread)
	for _, e := range entries {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(e.Kind())
		err := reader.Get(ctx, client.ObjectKey{Namespace: e.ID.Namespace, Name: e.ID.Name}, live)
		switch {
		case err == nil && hasEnded(live):
			ended = append(ended, e.ID)
		case err != nil && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err):
			unread[e.ID] = err
		}
	}
	return ended, unread
}

// hasEnded says whether a live object's status says that it is over: by the time of its end, or by its phase.
func hasEnded(live *unstructured.Unstructured) bool {
	status, _, _ := unstructured.NestedMap(live.Object, "status")
	for _, field := range []string{"completionTime", "completionTimestamp", "finishedAt"} {
		if at, _ := status[field].(string); at != "" {
			return true
		}
	}
	phase, _ := status["phase"].(string)
	return slices.Contains([]string{"succeeded", "failed", "completed", "error"}, strings.ToLower(phase))
}

// Departed is an object of which a watch says that it is gone, and what is remembered of it.
type Departed struct {
	inventory.Entry
	State
	Departure
	// Owners are those that it is collected with.
	Owners []metav1.OwnerReference
}

// Done returns the states of those departed objects that are done. It makes a request for each of them, because a watch calls an
// object gone that has only lost its label, and one per owner of the others. Of those that could not be read nobody knows; an
// object whose kind is gone counts as not done.
func Done(ctx context.Context, reader client.Reader, departed []Departed, ours func(inventory.ID) bool) (map[inventory.ID]State, Unread) {
	done, unread := make(map[inventory.ID]State), make(Unread)
	for _, d := range departed {
		next := d.Gone(d.ID.GroupKind, d.Departure)
		if !next.Done && collected(ctx, reader, d.ID.Namespace, d.Owners, ours) {
			next = d.Gone(d.ID.GroupKind, Departure{Collected: true})
		}
		if !next.Done {
			continue
		}
		live := &metav1.PartialObjectMetadata{}
		live.SetGroupVersionKind(d.Kind())
		err := reader.Get(ctx, client.ObjectKey{Namespace: d.ID.Namespace, Name: d.ID.Name}, live)
		switch {
		case apierrors.IsNotFound(err):
			done[d.ID] = next
		case err != nil && !meta.IsNoMatchError(err):
			unread[d.ID] = err
		}
	}
	return done, unread
}

// collected says whether an object that is gone was collected with its owners: it had some, and none of them is there any
// more, or will be for long. Owners that are ours are made again, and so is what they owned. An owner that cannot be looked up
// counts as there.
func collected(ctx context.Context, reader client.Reader, namespace string, owners []metav1.OwnerReference, ours func(inventory.ID) bool) bool {
	for _, owner := range owners {
		gvk := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind)
		if ours(inventory.ID{Namespace: namespace, Name: owner.Name, GroupKind: gvk.GroupKind()}) ||
			ours(inventory.ID{Name: owner.Name, GroupKind: gvk.GroupKind()}) {
			return false
		}
		live := &metav1.PartialObjectMetadata{}
		live.SetGroupVersionKind(gvk)
		err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: owner.Name}, live)
		gone := apierrors.IsNotFound(err) || meta.IsNoMatchError(err) ||
			err == nil && (live.UID != owner.UID || live.DeletionTimestamp != nil)
		if !gone {
			return false
		}
	}
	return len(owners) > 0
}
