package ocirepository

import (
	"context"
	"errors"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// observed is what an attempt knows before it decides.
type observed struct {
	plan.Observed

	// repo is what is asked, reached as options say; nil if nothing has to be asked.
	repo    *oci.Repository
	options oci.Options
	done    func()
	// digest is what the reference names now.
	digest string
	// verified is whose signature that has; nil if none is asked for.
	verified *plan.Verified
}

func (o *observed) close() {
	if o.done != nil {
		o.done()
	}
}

// received is how many bytes upstream has sent until now.
func (o *observed) received() int64 {
	if o.repo == nil {
		return 0
	}
	return o.repo.Received()
}

// observe gathers what decides about an object. Upstream is asked last, once, and only if its answer can matter.
func (r *Reconciler) observe(ctx context.Context, obj *sourcev1.OCIRepository, known plan.Observed) *observed {
	o := &observed{Observed: known}
	o.SameContent = plan.SameOCIContent(obj.Spec, obj.Status)
	if o.Problem = plan.ValidateOCI(obj.Spec); o.Problem != nil {
		return o
	}
	target := plan.ReadOCIRef(obj.Spec.Reference)
	if o.digest = target.Digest; target.Digest != "" && o.settled(obj) {
		return o
	}
	if o.Problem = r.connect(ctx, obj, o); o.Problem != nil {
		return o
	}
	if o.Problem = o.find(ctx, obj, target); o.Problem != nil {
		return o
	}
	o.verified, o.Problem = r.verify(ctx, obj, o)
	return o
}

// settled is set when nothing has to be asked: what has a digest never changes, and what is stored is what is asked for.
func (o *observed) settled(obj *sourcev1.OCIRepository) bool {
	o.Upstream = plan.OCIRevision("", o.digest)
	var ok bool
	o.verified, ok = verifiedBefore(obj, o.Upstream)
	return ok && o.Stored && o.SameContent && o.Artifact.Revision == o.Upstream && obj.Generation == obj.Status.ObservedGeneration
}

// connect prepares to ask the registry; nothing is sent to it yet.
func (r *Reconciler) connect(ctx context.Context, obj *sourcev1.OCIRepository, o *observed) *plan.Problem {
	repo, err := oci.Parse(obj.Spec.URL, obj.Spec.Insecure)
	if err != nil {
		p := plan.FetchProblem(sourcev1.URLInvalidReason, "spec.url: %v", err)
		p.Terminal = true
		return p
	}
	options, done, problem := r.access(ctx, obj, repo)
	o.done, o.options = done, options
	if problem != nil {
		return problem
	}
	if o.repo, err = oci.Open(obj.Spec.URL, options); err != nil {
		return pullProblem(obj, err)
	}
	return nil
}

// find asks what the reference names now.
func (o *observed) find(ctx context.Context, obj *sourcev1.OCIRepository, target plan.OCITarget) *plan.Problem {
	tag := target.Tag
	if target.Range != "" {
		tags, err := o.repo.Tags(ctx)
		if err != nil {
			return fetchProblem(obj, sourcev1.ReadOperationFailedReason, err)
		}
		var problem *plan.Problem
		chart := obj.GetLayerMediaType() == plan.ChartLayerMediaType
		if tag, problem = plan.NewestTag(tags, target.Range, target.Filter, chart); problem != nil {
			problem.Message = redact.URL(obj.Spec.URL) + ": " + problem.Message
			return problem
		}
	}
	if target.Digest == "" {
		digest, err := o.repo.Resolve(ctx, tag)
		if err != nil {
			return pullProblem(obj, err)
		}
		o.digest = digest
	}
	o.Upstream = plan.OCIRevision(tag, o.digest)
	return nil
}

func pullProblem(obj *sourcev1.OCIRepository, err error) *plan.Problem {
	return fetchProblem(obj, sourcev1.OCIPullFailedReason, err)
}

// fetchProblem is what the user reads about an error of the oci package, which says no more than it may.
func fetchProblem(obj *sourcev1.OCIRepository, reason string, err error) *plan.Problem {
	if errors.Is(err, oci.ErrAuthentication) {
		reason = sourcev1.AuthenticationFailedReason
	}
	p := plan.FetchProblem(reason, "%s: %v", redact.URL(obj.Spec.URL), err)
	var limited *oci.RateLimited
	if errors.As(err, &limited) {
		p.After = limited.After
	}
	return p
}
