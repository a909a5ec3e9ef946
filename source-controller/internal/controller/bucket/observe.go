package bucket

import (
	"context"
	"errors"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/bucket/s3"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// observed is what an attempt knows before it decides.
type observed struct {
	plan.Observed
	// connection reaches the bucket; nil if that was not tried.
	*connection
	// listing is what the bucket holds.
	listing *bucket.Listing
}

// observe gathers what decides about an object. The bucket is listed last, once, and only if that can matter.
func (r *Reconciler) observe(ctx context.Context, obj *sourcev1.Bucket, known plan.Observed) *observed {
	o := &observed{Observed: known}
	o.SameContent = plan.SameBucketContent(obj.Spec, obj.Status)
	if o.Problem = plan.ValidateBucket(obj.Spec); o.Problem != nil {
		return o
	}
	if o.connection, o.Problem = r.connect(ctx, obj); o.Problem != nil {
		return o
	}
	o.listing, o.Problem = r.list(ctx, obj, o.connection)
	if o.Problem == nil {
		o.Upstream = o.listing.Revision
	}
	return o
}

// list asks the bucket what it holds.
func (r *Reconciler) list(ctx context.Context, obj *sourcev1.Bucket, c *connection) (*bucket.Listing, *plan.Problem) {
	if until, ok := bucket.Find[time.Time](r.Kept, quiet(obj)); ok && r.Clock().Before(until) {
		return nil, fetchProblem(obj, sourcev1.BucketOperationFailedReason, &bucket.BusyError{Host: c.storage.Peer.Host})
	}
	query := bucket.Query{Prefix: obj.Spec.Prefix, Ignore: obj.Spec.Ignore, Limits: r.Limits}
	if a := obj.Status.Artifact; a != nil {
		query.Known = r.Records.Rules(string(obj.UID), a.Digest)
	}
	listing, err := bucket.List(ctx, c.service, query)
	if err != nil {
		r.rest(obj, err)
		return nil, fetchProblem(obj, sourcev1.BucketOperationFailedReason, err)
	}
	return listing, nil
}

// rest leaves a service alone for as long as it asks for.
func (r *Reconciler) rest(obj *sourcev1.Bucket, err error) {
	var busy *bucket.BusyError
	if errors.As(err, &busy) && busy.After > 0 {
		r.Kept.Put(quiet(obj), r.Clock().Add(busy.After))
	}
}

// quiet is what the end of that time is kept under.
func quiet(obj *sourcev1.Bucket) string {
	return bucket.KeyOf("quiet", obj.Spec.Endpoint, obj.Spec.BucketName)
}

// fetchProblem is what the user reads about an error of the bucket packages, which say no more than they may.
func fetchProblem(obj *sourcev1.Bucket, reason string, err error) *plan.Problem {
	var worded *plan.Problem
	where := bucket.HostOf(obj.Spec.Endpoint) + "/" + obj.Spec.BucketName
	switch {
	case errors.As(err, &worded):
		return worded
	case errors.Is(err, s3.ErrEndpoint):
		p := plan.FetchProblem(sourcev1.URLInvalidReason, "%v", err)
		p.Terminal = true
		return p
	case errors.Is(err, bucket.ErrStorage):
		return plan.StorageProblem(sourcev1.ArchiveOperationFailedReason, "%s: %v", where, err)
	}
	return plan.FetchProblem(reason, "%s: %v", where, err)
}
