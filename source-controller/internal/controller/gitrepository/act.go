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
	"github.com/sluice-gitops/sluice/source-controller/internal/verify"
)

// rules are what goes into an artifact, beside what is in the repository.
type rules struct {
	ignore *string
	sparse []string
	// submodules is where they are fetched from; nil if they stay empty.
	submodules *git.Modules
	includes   []sourcev1.GitRepositoryInclude
	// included are the artifacts of includes.
	included []*meta.Artifact
}

// made is an artifact that was made.
type made struct {
	artifact *meta.Artifact
	subject  string
	verified *plan.Verified
}

// act takes the step that was decided on.
func (r *Reconciler) act(ctx context.Context, obj *sourcev1.GitRepository, o *observed) Outcome {
	out := attempt.Start[*sourcev1.GitRepository](o.Observed)
	out.Note, out.Verified = note(o.included), plan.StillVerified(obj)
	if out.Step != plan.Build {
		return out
	}
	m, problem := r.build(ctx, obj, o)
	out.Problem = problem
	if problem == nil {
		out.Artifact, out.Verified, out.Stored, out.Made = m.artifact, m.verified, true, true
		out.Change = change(m.subject)
	}
	return out
}

// build makes the artifact. A clone that turns out to be damaged is fetched again, once.
func (r *Reconciler) build(ctx context.Context, obj *sourcev1.GitRepository, o *observed) (made, *plan.Problem) {
	keys, problem := r.keys(ctx, obj)
	if problem != nil {
		return made{}, problem
	}
	clone, err := r.Clones.Clone(ctx, upstream(obj), string(obj.UID))
	if err != nil {
		return made{}, fetchProblem(obj, err)
	}
	defer func() { _ = clone.Close() }() // what was written to it is closed already
	for attempt := 0; ; attempt++ {
		m, err := r.make(ctx, obj, o, clone, keys)
		if err == nil {
			return m, nil
		}
		if !errors.Is(err, git.ErrCorrupt) || attempt > 0 {
			return made{}, problemOf(o.target.Revision, err)
		}
		if err := clone.Remove(); err != nil {
			return made{}, fetchProblem(obj, err)
		}
	}
}

// make fetches a commit, verifies it if that is asked for, and stores its tree: nothing is stored before it is verified, and
// what is verified is the very object whose tree is packed.
func (r *Reconciler) make(
	ctx context.Context, obj *sourcev1.GitRepository, o *observed, clone *git.Clone, keys verify.Keys,
) (m made, err error) {
	before := o.answer.Session.Received()
	err = clone.Fetch(ctx, o.answer.Session, o.target)
	o.received += o.answer.Session.Received() - before
	if err != nil {
		return m, fetchProblem(obj, err)
	}
	if m.verified, err = r.verify(obj, keys, clone, o.target); err != nil {
		return m, err
	}
	rules := rules{
		ignore: obj.Spec.Ignore, sparse: obj.Spec.SparseCheckout, includes: obj.Spec.Include, included: o.included,
	}
	if rules.submodules, err = r.submodules(ctx, obj); err != nil {
		return m, err
	}
	m.artifact, m.subject, err = r.store(ctx, obj, clone, o, rules)
	return m, err
}

// submodules is where the submodules of an object are fetched from; nil if they are not.
func (r *Reconciler) submodules(ctx context.Context, obj *sourcev1.GitRepository) (*git.Modules, error) {
	if !obj.Spec.RecurseSubmodules {
		return nil, nil
	}
	cred, problem := r.credentials(ctx, obj)
	if problem != nil {
		return nil, problem
	}
	return &git.Modules{Address: obj.Spec.URL, Client: r.Git, Credentials: cred}, nil
}

// Restore implements [attempt.Kind]: it makes the artifact from what the clone still has.
func (r *Reconciler) Restore(ctx context.Context, obj *sourcev1.GitRepository) bool {
	artifact, status := obj.Status.Artifact, obj.Status
	clone, err := r.Clones.Clone(ctx, upstream(obj), string(obj.UID))
	if err != nil {
		return false
	}
	defer func() { _ = clone.Close() }() // it is only read
	commit := plan.CommitOf(artifact.Revision)
	if commit == "" || !clone.Has(commit) {
		return false
	}
	was := &observed{target: plan.Target{Commit: commit, Revision: artifact.Revision}}
	rules := rules{
		ignore: status.ObservedIgnore, sparse: status.ObservedSparseCheckout, includes: status.ObservedInclude, included: status.IncludedArtifacts,
	}
	if status.ObservedRecurseSubmodules {
		rules.submodules = &git.Modules{Address: obj.Spec.URL}
	}
	again, _, err := r.store(ctx, obj, clone, was, rules)
	return err == nil && again.Digest == artifact.Digest
}

// store packs a commit into the storage.
func (r *Reconciler) store(
	ctx context.Context, obj *sourcev1.GitRepository, clone *git.Clone, o *observed, rules rules,
) (artifact *meta.Artifact, subject string, err error) {
	target := o.target
	snapshot, err := clone.Snapshot(target.Commit)
	if err != nil {
		return nil, "", fmt.Errorf("read commit: %w", err)
	}
	if err := r.recurse(ctx, obj, clone, snapshot, o, rules); err != nil {
		return nil, "", err
	}
	if len(rules.includes) != len(rules.included) {
		return nil, "", errRestoring
	}
	layers, done := r.layers(rules.includes, rules.included)
	defer func() { err = errors.Join(err, done()) }()
	tree := pack.Over(pack.Only(snapshot, rules.sparse, r.Limits), layers, r.Limits)
	file := store.Path(sourcev1.GitRepositoryKind, obj.Namespace, obj.Name, target.Commit+".tar.gz")
	written, err := r.Store.Write(ctx, file, func(w io.Writer) error {
		return pack.Write(ctx, w, tree, pack.Options{Ignore: rules.ignore, Limits: r.Limits})
	})
	if err != nil {
		return nil, "", fmt.Errorf("store artifact: %w", err)
	}
	return attempt.New(obj.Status.Artifact, target.Revision, file, written, nil), snapshot.Subject, nil
}

// recurse opens a commit's submodules, if they go in.
func (r *Reconciler) recurse(
	ctx context.Context, obj *sourcev1.GitRepository, clone *git.Clone, snapshot *git.Snapshot, o *observed, rules rules,
) error {
	if rules.submodules == nil {
		return clone.ForgetModules()
	}
	rules.submodules.Wanted = pack.Wanted(rules.sparse)
	received, err := clone.Recurse(ctx, snapshot, *rules.submodules)
	o.received += received
	if err != nil && !errors.Is(err, git.ErrCorrupt) {
		return fetchProblem(obj, err)
	}
	return err
}

// problemOf is what the user reads about an error on the way from a clone to an artifact.
func problemOf(revision string, err error) *plan.Problem {
	var known *plan.Problem
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.DeadlineExceeded):
		return plan.StorageProblem(sourcev1.ArchiveOperationFailedReason,
			"%s could not be packed within spec.timeout; raise it", revision)
	case errors.Is(err, errRestoring):
		return plan.IncludeProblem(plan.ReasonNoArtifact, "%s: %v", revision, err)
	case errors.Is(err, pack.ErrConflict):
		return plan.StorageProblem(plan.ReasonCopyFailure, "%s: spec.include: %v; choose another toPath", revision, err)
	case errors.Is(err, git.ErrNoCommit), errors.Is(err, git.ErrCorrupt), errors.Is(err, pack.ErrNoFolder):
		return plan.FetchProblem(sourcev1.GitOperationFailedReason, "%s: %v", revision, err)
	}
	return plan.StorageProblem(sourcev1.ArchiveOperationFailedReason, "%s: %v", revision, err)
}
