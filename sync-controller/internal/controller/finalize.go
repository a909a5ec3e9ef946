package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluice-gitops/sluice/sync-controller/internal/events"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
	"github.com/sluice-gitops/sluice/sync-controller/internal/target"
)

// maxNamed is how many objects a message names.
const maxNamed = 50

// finalize deletes what the deletion policy says and lets the subject go. It says whether the reconciliation is over: it is
// as long as objects that are waited for are still there. Everything that it needs may be gone before: the account, its
// rights, Helm's storage, kinds, namespaces (see obstacles.go); none of that holds the subject for ever.
func (r *reconciliation) finalize(ctx context.Context, a plan.Action) (done bool, err error) {
	d := &r.memory.deletion
	if a.Delete && !d.over {
		if d.over, err = r.deleteAll(ctx, a.Await); err != nil || !d.over {
			return true, err
		}
	}
	if err := r.release.DeleteChart(ctx); err != nil {
		if over, err := r.meet(ctx, err); err != nil || !over {
			return true, err
		}
	}
	base := r.stored.Copy().Object()
	controllerutil.RemoveFinalizer(r.subject.Object(), finalizer)
	patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}) // the list of finalizers is replaced whole
	err = r.Client.Patch(ctx, r.subject.Object(), patch, client.FieldOwner(Name))
	if client.IgnoreNotFound(err) != nil {
		return true, fmt.Errorf("remove finalizer: %w", err)
	}
	return true, r.forget(r.key)
}

// deleteAll deletes the whole inventory, with await until everything is gone. It is over when everything is done that can be.
func (r *reconciliation) deleteAll(ctx context.Context, await bool) (over bool, err error) {
	why, err := r.nobody(ctx)
	switch {
	case err != nil:
		return r.meet(ctx, err)
	case why != "":
		r.leaveAll(ctx, why)
		return true, nil
	}
	rest, err := r.undo(ctx, await)
	if err != nil {
		return r.meet(ctx, err)
	}
	r.memory.deletion.since = time.Time{}
	switch {
	case len(rest) > 0 && r.now.Sub(r.subject.Object().GetDeletionTimestamp().Time) < plan.Patience:
		return false, nil // not worth a status write yet
	case len(rest) > 0:
		message := fmt.Sprintf("waits for %d objects to be gone: %s", len(rest), enumerate(names(rest)))
		return false, r.tellDeletion(ctx, plan.Verdict{Ready: metav1.ConditionUnknown, Reason: plan.ReasonProgressing, Message: message})
	}
	return true, nil
}

// undo does what a deletion has left to do, and returns the objects that are waited for. What cannot be done does not stop
// the rest, unless it would be out of order.
func (r *reconciliation) undo(ctx context.Context, await bool) (rest []inventory.Entry, err error) {
	t, err := r.target()
	if err != nil {
		return nil, err
	}
	d, own := &r.memory.deletion, r.obstacles()
	adopting := own.left(ctx, r.release.Adopt(ctx))
	if passing(adopting) {
		return nil, adopting
	}
	entries := subject.InventoryOf(r.subject).Entries()
	inventory.SortForApply(entries)
	if !d.requested {
		err := own.left(ctx, r.requestDeletion(ctx, t, entries))
		if d.requested = err == nil; err != nil {
			return nil, errors.Join(adopting, err)
		}
	}
	if await || d.awaited {
		rest, err := t.Pruner.Terminating(ctx, entries)
		if err := own.left(ctx, err); err != nil {
			return nil, errors.Join(adopting, err)
		}
		if rest = own.lasting(rest); len(rest) > 0 && await {
			d.awaited = true
			return rest, adopting
		}
		r.leave(ctx, "not waited for any longer, and still there: ", names(rest))
		d.awaited = false
	}
	if adopting != nil {
		return nil, adopting
	}
	return nil, own.left(ctx, r.release.Uninstall(ctx))
}

// requestDeletion deletes what nobody else has taken over, and tells of it. A release that cannot be marked as going is
// deleted all the same, once nothing but rights are missing for the mark: it is for whoever looks on.
func (r *reconciliation) requestDeletion(ctx context.Context, t target.Target, entries []inventory.Entry) error {
	remove, claimed, err := r.unclaimed(ctx, entries)
	if err != nil {
		return err
	}
	marking := r.release.BeginUninstall(ctx)
	if passing(marking) {
		return marking
	}
	result, err := t.Pruner.Prune(ctx, remove)
	d := &r.memory.deletion
	if !d.handedOver {
		d.handedOver = true
		r.handOver(claimed)
	}
	if lines := d.untold(result.Changes.Notable()).Lines(maxNamed); len(lines) > 0 {
		r.emitDeletion(ctx, events.Normal, plan.ReasonSucceeded, lines...)
	}
	return errors.Join(marking, err)
}

// nobody says why nobody can delete anything for the subject; empty when somebody can. The controller never does what the
// account may not, so that a subject whose account is gone leaves its objects where they are.
func (r *reconciliation) nobody(ctx context.Context) (why string, err error) {
	if _, impersonate, err := r.Access.ServiceAccount(r.key.Namespace, r.subject.ServiceAccount()); err != nil {
		return err.Error(), nil
	} else if !impersonate {
		return "", nil
	}
	name := r.subject.ServiceAccount()
	if name == "" {
		name = r.Access.DefaultServiceAccount
	}
	err = r.Live.Get(ctx, client.ObjectKey{Namespace: r.key.Namespace, Name: name}, &corev1.ServiceAccount{})
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("service account %s is gone, and nobody else deletes for it", name), nil
	}
	if err != nil {
		return "", fmt.Errorf("look for service account %s: %w", name, err)
	}
	return "", nil
}

// names are objects as Kind/namespace/name.
func names(entries []inventory.Entry) []string {
	all := make([]string, 0, len(entries))
	for _, e := range entries {
		all = append(all, inventory.Describe(e.ID))
	}
	return all
}
