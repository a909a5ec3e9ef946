package gitrepository

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// outcome is how an attempt ended.
type outcome struct {
	plan.Decision

	problem *plan.Problem
	// artifact is what the status is to advertise; stored says whether it can be downloaded.
	artifact *meta.Artifact
	stored   bool
	// upstream is the revision upstream has; empty if it is not known.
	upstream string
	// subject is the first line of the commit that was packed.
	subject string
	// made is set when a new file was stored, restored when a lost one was made again from the clone alone.
	made, restored bool
	// collected is how many superseded files were removed.
	collected int
	// received is how many bytes upstream sent.
	received int64
}

// act takes the step that was decided on.
func (r *Reconciler) act(ctx context.Context, obj *sourcev1.GitRepository, o *observed) outcome {
	out := outcome{
		Decision: plan.Decide(o.Observed), problem: o.Problem,
		artifact: obj.Status.Artifact, stored: o.Stored, upstream: o.Target.Revision,
	}
	if out.Step != plan.Build {
		return out
	}
	artifact, subject, problem := r.build(ctx, obj, o)
	out.problem = problem
	if problem == nil {
		out.artifact, out.subject, out.stored, out.made = artifact, subject, true, true
	}
	return out
}

// tidy leaves the storage as the outcome of an attempt wants it: with the artifact that is advertised, and without those
// that are superseded. The one that was advertised until now stays until another one is.
func (r *Reconciler) tidy(ctx context.Context, obj *sourcev1.GitRepository, out *outcome) {
	if out.Step == plan.Rest || out.artifact == nil {
		return
	}
	if !out.stored {
		out.restored = r.restore(ctx, obj)
		out.stored = out.restored
	}
	var err error
	if out.collected, err = r.Store.Collect(out.artifact.Path, obj.Status.Artifact); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "superseded artifacts stay for now")
	}
}

// build fetches the commit and stores its tree. A clone that turns out to be damaged is fetched again, once.
func (r *Reconciler) build(ctx context.Context, obj *sourcev1.GitRepository, o *observed) (*meta.Artifact, string, *plan.Problem) {
	clone, err := r.Clones.Clone(string(obj.UID), obj.Spec.URL)
	if err != nil {
		return nil, "", plan.StorageProblem(sourcev1.CacheOperationFailedReason, "%v", err)
	}
	defer func() { _ = clone.Close() }() // what was written to it is closed already
	for attempt := 0; ; attempt++ {
		if err := clone.Fetch(ctx, o.session, o.Target); err != nil {
			return nil, "", fetchProblem(obj, err)
		}
		artifact, subject, err := r.store(ctx, obj, clone, o.Target, obj.Spec.Ignore, obj.Spec.SparseCheckout)
		if err == nil {
			return artifact, subject, nil
		}
		if !errors.Is(err, git.ErrCorrupt) || attempt > 0 {
			return nil, "", storeProblem(o.Target.Revision, err)
		}
		if err := clone.Remove(); err != nil {
			return nil, "", plan.StorageProblem(sourcev1.CacheOperationFailedReason, "%v", err)
		}
	}
}

// restore makes the advertised artifact again from what the clone still has, if its file was lost while upstream cannot
// be used.
func (r *Reconciler) restore(ctx context.Context, obj *sourcev1.GitRepository) bool {
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

// store packs a commit into the storage. What turns out to be what was advertised already is not advertised anew; anything
// else has no time yet.
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
	artifact = &meta.Artifact{
		Path: file, Revision: target.Revision, Digest: written.Digest, Size: &written.Size,
	}
	if old := obj.Status.Artifact; old.HasRevision(artifact.Revision) && old.HasDigest(artifact.Digest) && old.Path == file {
		artifact.LastUpdateTime = old.LastUpdateTime
	}
	return artifact, snapshot.Subject, nil
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
