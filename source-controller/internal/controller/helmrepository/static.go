package helmrepository

import (
	"context"
	"reflect"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// static reports whether a repository is in a registry. Nothing of such a one is reconciled: it has neither an artifact nor
// conditions, and no finalizer.
func static(obj *sourcev1.HelmRepository) bool {
	return obj.Spec.Type == sourcev1.HelmRepositoryTypeOCI
}

// clear removes what is left on an object that was not always static.
func (r *Reconciler) clear(ctx context.Context, obj *sourcev1.HelmRepository) error {
	claimed := controllerutil.ContainsFinalizer(obj, sourcev1.SourceFinalizer)
	if obj.Spec.Suspend && obj.DeletionTimestamp.IsZero() || !claimed && untouched(obj.Status) {
		return nil
	}
	if err := r.Store.Delete(sourcev1.HelmRepositoryKind, obj.Namespace, obj.Name); err != nil {
		return err
	}
	r.tags.forget(obj.UID)
	after := obj.DeepCopy()
	after.Status = sourcev1.HelmRepositoryStatus{}
	if err := r.Reporter.Status(ctx, obj, after); err != nil {
		return err
	}
	if !claimed {
		return nil
	}
	return r.Reporter.Disclaim(ctx, after)
}

// untouched reports whether nobody has written a status yet: the API server gives new objects an observed generation of -1.
func untouched(s sourcev1.HelmRepositoryStatus) bool {
	if s.ObservedGeneration < 0 {
		s.ObservedGeneration = 0
	}
	return reflect.DeepEqual(s, sourcev1.HelmRepositoryStatus{})
}
