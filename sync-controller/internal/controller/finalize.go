package controller

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluice-gitops/sluice/sync-controller/internal/events"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// deletingStage marks, in memory, that deletions were requested.
const deletingStage plan.Stage = "Deleting"

// maxNamed is how many objects a message names.
const maxNamed = 50

// finalize deletes what the deletion policy says and lets the subject go. It says whether the reconciliation is over: it is
// as long as objects that are waited for are still there.
func (r *reconciliation) finalize(ctx context.Context, a plan.Action) (done bool, err error) {
	if a.Delete {
		gone, err := r.deleteAll(ctx, a.Await)
		if err != nil || !gone {
			return true, err
		}
		if err := r.release.Uninstall(ctx); err != nil {
			return true, err
		}
	}
	if err := r.release.DeleteChart(ctx); err != nil {
		return true, err
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

// deleteAll deletes the whole inventory; with await it says whether everything is gone.
func (r *reconciliation) deleteAll(ctx context.Context, await bool) (gone bool, err error) {
	missing, err := r.accountMissing(ctx)
	if err != nil {
		return false, err
	}
	if missing {
		ctrl.LoggerFrom(ctx).Info("nothing is deleted: the service account to do it as is gone", "serviceAccount", r.subject.ServiceAccount())
		return true, nil
	}
	t, err := r.target()
	if err != nil {
		return false, err
	}
	if err := r.release.Adopt(ctx); err != nil {
		return false, err
	}
	m := r.memory
	entries := subject.InventoryOf(r.subject).Entries()
	inventory.SortForApply(entries)
	if m.attempt.Stage != deletingStage {
		if err := r.requestDeletion(ctx, entries); err != nil {
			return false, err
		}
		m.attempt.Stage = deletingStage
	}
	if !await && !m.awaited {
		return true, nil
	}
	rest, err := t.Pruner.Terminating(ctx, entries)
	if m.awaited = await; await || len(rest) == 0 {
		return len(rest) == 0, err
	}
	r.Events.Emit(r.subject, r.now, events.Warning, plan.ReasonPruneFailed, "not waited for any longer, and still there: "+describeAll(rest))
	return true, nil
}

// requestDeletion deletes what nobody else has taken over, and tells of it.
func (r *reconciliation) requestDeletion(ctx context.Context, entries []inventory.Entry) error {
	remove, claimed, err := r.unclaimed(ctx, entries)
	if err != nil {
		return err
	}
	if err := r.release.BeginUninstall(ctx); err != nil {
		return err
	}
	t, err := r.target()
	if err != nil {
		return err
	}
	result, err := t.Pruner.Prune(ctx, remove)
	if err != nil {
		r.Events.Emit(r.subject, r.now, events.Warning, plan.ReasonPruneFailed, err.Error())
		return fmt.Errorf("delete what was applied: %w", err)
	}
	r.handOver(claimed)
	if lines := result.Changes.Notable().Lines(maxNamed); len(lines) > 0 {
		r.Events.Emit(r.subject, r.now, events.Normal, plan.ReasonSucceeded, lines...)
	}
	return nil
}

// describeAll names objects, at most maxNamed of them.
func describeAll(entries []inventory.Entry) string {
	var names []string
	for _, e := range entries[:min(len(entries), maxNamed)] {
		names = append(names, inventory.Describe(e.ID))
	}
	return strings.Join(names, ", ")
}

// accountMissing says whether the service account that objects are deleted as is gone: then nobody can, and the subject
// must not hang for ever.
func (r *reconciliation) accountMissing(ctx context.Context) (bool, error) {
	name := r.subject.ServiceAccount()
	if name == "" {
		name = r.Access.DefaultServiceAccount
	}
	if name == "" {
		return false, nil
	}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: r.key.Namespace, Name: name}, &corev1.ServiceAccount{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return false, err
}
