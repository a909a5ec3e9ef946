package gitrepository

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// finalize removes what an object left on disk, and lets it go.
func (r *Reconciler) finalize(ctx context.Context, obj *sourcev1.GitRepository) error {
	if err := r.Store.Delete(sourcev1.GitRepositoryKind, obj.Namespace, obj.Name); err != nil {
		return err
	}
	if err := r.Clones.Remove(string(obj.UID)); err != nil {
		return err
	}
	return r.Reporter.Release(ctx, obj)
}
