package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// act takes the step that was decided on.
func (r *Reconciler) act(ctx context.Context, obj *sourcev1.Bucket, o *observed) outcome {
	out := attempt.Start[*sourcev1.Bucket](o.Observed)
	out.Note = note
	if out.Step == plan.Build {
		artifact, problem := r.build(ctx, obj, o)
		if out.Problem = problem; problem == nil {
			out.Artifact, out.Stored, out.Made, out.Upstream = artifact, true, true, artifact.Revision
			out.Change.Message = plan.BucketFetched(obj.Spec, o.listing.Count)
		}
	}
	if out.Problem == nil {
		out.Message = plan.BucketStored(obj.Spec, out.Artifact.Revision, o.listing.Count)
	}
	return out
}

// build fetches what the bucket holds and stores it. A bucket that changes meanwhile is listed again, once.
func (r *Reconciler) build(ctx context.Context, obj *sourcev1.Bucket, o *observed) (*meta.Artifact, *plan.Problem) {
	for again := false; ; again = true {
		artifact, problem, err := r.make(ctx, obj, o)
		if err == nil || again || !errors.Is(err, bucket.ErrChanged) {
			return artifact, problem
		}
		listing, problem := r.list(ctx, obj, o.connection)
		if problem != nil {
			return nil, problem
		}
		o.listing = listing
	}
}

// make stores what is listed. The error is what the problem comes from.
func (r *Reconciler) make(ctx context.Context, obj *sourcev1.Bucket, o *observed) (a *meta.Artifact, p *plan.Problem, err error) {
	folder, _, done, err := r.Store.Scratch()
	if err != nil {
		return nil, plan.StorageProblem(sourcev1.DirCreationFailedReason, "%v", err), err
	}
	defer func() {
		if err := done(); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "a temporary folder stays until the next start")
		}
	}()
	if err := r.fetch(ctx, obj, o, folder); err != nil {
		r.rest(obj, err)
		return nil, fetchProblem(obj, sourcev1.BucketOperationFailedReason, err), err
	}
	revision := o.listing.Revision
	file := store.Path(sourcev1.BucketKind, obj.Namespace, obj.Name, strings.TrimPrefix(revision, "sha256:")+".tar.gz")
	written, err := r.Store.Write(ctx, file, func(w io.Writer) error {
		return pack.Write(ctx, w, pack.Folder(folder), pack.Options{
			Chosen: true, Limits: pack.Limits{Bytes: r.Limits.Bytes + maxRules, Files: r.Limits.Files},
		})
	})
	if err != nil {
		return nil, storeProblem(revision, err), err
	}
	if err := r.Records.Save(string(obj.UID), bucket.RecordOf(o.listing, written.Digest)); err != nil {
		// The artifact is whole; the next one is fetched as a whole, too.
		ctrl.LoggerFrom(ctx).Error(err, "what an artifact was made of is not remembered")
	}
	return attempt.New(obj.Status.Artifact, revision, file, written, nil), nil, nil
}

// maxRules is what a .sourceignore may have beside the objects.
const maxRules = 256 << 10

// fetch brings what is listed into a folder: from the artifact that is stored what is still the same, and the rest from the
// bucket.
func (r *Reconciler) fetch(ctx context.Context, obj *sourcev1.Bucket, o *observed, into *os.Root) error {
	reused, err := r.reuse(ctx, obj, o, into)
	if err != nil {
		return err
	}
	return bucket.Fetch(ctx, o.service, o.listing, into, r.Limits, reused)
}

func (r *Reconciler) reuse(ctx context.Context, obj *sourcev1.Bucket, o *observed, into *os.Root) (map[string]bool, error) {
	a := obj.Status.Artifact
	if a == nil || !o.Stored {
		return nil, nil
	}
	record := r.Records.Load(string(obj.UID), a.Digest)
	if record == nil {
		return nil, nil
	}
	file, err := r.Store.ReadVerified(a.Path, a.Digest)
	if err != nil {
		return nil, nil //nolint:nilerr // then it is fetched
	}
	defer func() { _ = file.Close() }() // it is only read
	return bucket.Reuse(ctx, file, record, o.listing, into)
}

func storeProblem(revision string, err error) *plan.Problem {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return plan.StorageProblem(sourcev1.ArchiveOperationFailedReason,
			"%s could not be packed within spec.timeout; raise it", revision)
	case errors.Is(err, pack.ErrTooLarge):
		err = fmt.Errorf("%w; narrow spec.prefix, or raise --artifact-max-files", err)
	}
	return plan.StorageProblem(sourcev1.ArchiveOperationFailedReason, "%s: %v", revision, err)
}
