package gitrepository

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// act takes the step that was decided on.
func (r *Reconciler) act(ctx context.Context, obj *sourcev1.GitRepository, o *observed) Outcome {
	out := attempt.Start[*sourcev1.GitRepository](o.Observed)
	out.Note = note
	if out.Step != plan.Build {
		return out
	}
	artifact, subject, problem := r.build(ctx, obj, o)
	out.Problem = problem
	if problem == nil {
		out.Artifact, out.Stored, out.Made = artifact, true, true
		out.Change = change(subject)
	}
	return out
}

// build fetches the commit and stores its tree. A clone that turns out to be damaged is fetched again, once.
func (r *Reconciler) build(ctx context.Context, obj *sourcev1.GitRepository, o *observed) (*meta.Artifact, string, *plan.Problem) {
	clone, err := r.Clones.Clone(string(obj.UID), obj.Spec.URL)
	if err != nil {
		return nil, "", plan.StorageProblem(sourcev1.CacheOperationFailedReason, "%v", err)
	}
	defer func() { _ = clone.Close() }() // what was written to it is closed already
	for attempt := 0; ; attempt++ {
		if err := clone.Fetch(ctx, o.session, o.target); err != nil {
			return nil, "", fetchProblem(obj, err)
		}
		artifact, subject, err := r.store(ctx, obj, clone, o.target, obj.Spec.Ignore, obj.Spec.SparseCheckout)
		if err == nil {
			return artifact, subject, nil
		}
		if !errors.Is(err, git.ErrCorrupt) || attempt > 0 {
			return nil, "", storeProblem(o.target.Revision, err)
		}
		if err := clone.Remove(); err != nil {
			return nil, "", plan.StorageProblem(sourcev1.CacheOperationFailedReason, "%v", err)
		}
	}
}

// Restore implements [attempt.Kind]: it makes the artifact from what the clone still has.
func (r *Reconciler) Restore(ctx context.Context, obj *sourcev1.GitRepository) bool {
	artifact := obj.Status.Artifact
	clone, err := r.Clones.Clone(string(obj.UID), obj.Spec.URL)
	if err != nil {
		return false
	}
	defer func() { _ = clone.Close() }() // it is only read
	commit := plan.CommitOf(artifact.Revision)
	if commit == "" || !clone.Has(commit) {
		return false
	}
	target := plan.Target{Commit: commit, Revision: artifact.Revision}
	again, _, err := r.store(ctx, obj, clone, target, obj.Status.ObservedIgnore, obj.Status.ObservedSparseCheckout)
	return err == nil && again.Digest == artifact.Digest
}

// store packs a commit into the storage.
func (r *Reconciler) store(
	ctx context.Context, obj *sourcev1.GitRepository, clone *git.Clone, target plan.Target, ignore *string, sparse []string,
) (artifact *meta.Artifact, subject string, err error) {
	snapshot, err := clone.Snapshot(target.Commit)
	if err != nil {
		return nil, "", fmt.Errorf("read commit: %w", err)
	}
	file := store.Path(sourcev1.GitRepositoryKind, obj.Namespace, obj.Name, target.Commit+".tar.gz")
	written, err := r.Store.Write(ctx, file, func(w io.Writer) error {
		return pack.Write(ctx, w, snapshot, pack.Options{Ignore: ignore, Sparse: sparse, Limits: r.Limits})
	})
	if err != nil {
		return nil, "", fmt.Errorf("store artifact: %w", err)
	}
	return attempt.New(obj.Status.Artifact, target.Revision, file, written, nil), snapshot.Subject, nil
}

func storeProblem(revision string, err error) *plan.Problem {
	if errors.Is(err, context.DeadlineExceeded) {
		return plan.StorageProblem(sourcev1.ArchiveOperationFailedReason,
			"%s could not be packed within spec.timeout; raise it", revision)
	}
	if errors.Is(err, git.ErrNoCommit) || errors.Is(err, git.ErrCorrupt) || errors.Is(err, pack.ErrNoFolder) {
		return plan.FetchProblem(sourcev1.GitOperationFailedReason, "%s: %v", revision, err)
	}
	return plan.StorageProblem(sourcev1.ArchiveOperationFailedReason, "%s: %v", revision, err)
}
