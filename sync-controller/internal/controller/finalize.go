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

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// finalize deletes what the deletion policy says and lets the subject go. It says whether the pass is over: it is as long
// as objects that are waited for are still there.
func (p *pass) finalize(ctx context.Context, a plan.Action) (done bool, err error) {
	if a.Delete {
		gone, err := p.deleteAll(ctx, a.Await)
		if err != nil || !gone {
			return true, err
		}
		if err := p.uninstall(ctx); err != nil {
			return true, err
		}
	}
	if err := p.releaseChart(ctx); err != nil {
		return true, err
	}
	base := p.stored.copied().object()
	controllerutil.RemoveFinalizer(p.subject.object(), finalizer)
	patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}) // the list of finalizers is replaced whole
	err = p.Client.Patch(ctx, p.subject.object(), patch, client.FieldOwner(Name))
	if client.IgnoreNotFound(err) != nil {
		return true, fmt.Errorf("remove finalizer: %w", err)
	}
	return true, p.forget(p.key)
}

// deleteAll deletes the whole inventory; with await it says whether everything is gone.
func (p *pass) deleteAll(ctx context.Context, await bool) (gone bool, err error) {
	missing, err := p.accountMissing(ctx)
	if err != nil {
		return false, err
	}
	if missing {
		ctrl.LoggerFrom(ctx).Info("nothing is deleted: the service account to do it as is gone", "serviceAccount", p.subject.serviceAccount())
		return true, nil
	}
	hands, err := p.hands()
	if err != nil {
		return false, err
	}
	if err := p.adoptRecorded(ctx); err != nil {
		return false, err
	}
	entries := p.statusInventory().Entries()
	inventory.SortForApply(entries)
	if p.mem.record.Stage != plan.Stage(deletingStage) {
		claimed, err := p.claimed(ctx, entries)
		if err != nil {
			return false, err
		}
		remove, _ := plan.Split(entries, func(id inventory.ID) bool { return claimed[id] })
		if err := p.beginUninstall(ctx); err != nil {
			return false, err
		}
		result, err := hands.Pruner.Prune(ctx, p.releasable(remove))
		if err != nil {
			p.tell(corev1.EventTypeWarning, plan.ReasonPruneFailed, err.Error())
			return false, fmt.Errorf("delete what was applied: %w", err)
		}
		if lines := result.Changes.Changed().Lines(maxEntries); len(lines) > 0 {
			p.tell(corev1.EventTypeNormal, plan.ReasonSucceeded, joinLines(lines))
		}
		p.mem.record.Stage = plan.Stage(deletingStage)
	}
	if !await && !p.mem.awaited {
		return true, nil
	}
	rest, err := hands.Pruner.Terminating(ctx, p.releasable(entries))
	if p.mem.awaited = await; await || len(rest) == 0 {
		return len(rest) == 0, err
	}
	p.tell(corev1.EventTypeWarning, plan.ReasonPruneFailed, "not waited for any longer, and still there: "+describeAll(rest))
	return true, nil
}

// describeAll names objects, at most maxEntries of them.
func describeAll(entries []inventory.Entry) string {
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, inventory.Describe(e.ID))
	}
	return strings.Join(limit(names, maxEntries), ", ")
}

// deletingStage marks, in memory, that deletions were requested.
const deletingStage = "Deleting"

// accountMissing says whether the service account that objects are deleted as is gone: then nobody can, and the subject
// must not hang for ever.
func (p *pass) accountMissing(ctx context.Context) (bool, error) {
	name := p.subject.serviceAccount()
	if name == "" {
		name = p.Access.DefaultServiceAccount
	}
	if name == "" {
		return false, nil
	}
	err := p.Live.Get(ctx, client.ObjectKey{Namespace: p.key.Namespace, Name: name}, &corev1.ServiceAccount{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return false, err
}
