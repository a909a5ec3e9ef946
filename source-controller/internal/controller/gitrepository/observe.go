package gitrepository

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// observed is what an attempt knows before it decides.
type observed struct {
	plan.Observed
	// target is the commit that is asked for.
	target plan.Target
	// answer is what upstream has; nil if it was not asked.
	answer *git.Answer
	// included are the artifacts of spec.include.
	included []*meta.Artifact
	// received is how many bytes upstream has sent until now.
	received int64
}

func (o *observed) close() {
	if o.answer != nil {
		o.answer.Close()
	}
}

// observe gathers what decides about an object. Upstream is asked last, once, and only if its answer can matter.
func (r *Reconciler) observe(ctx context.Context, obj *sourcev1.GitRepository, known plan.Observed) *observed {
	o := &observed{Observed: known}
	if o.Problem = plan.Validate(obj.Spec); o.Problem != nil {
		return o
	}
	if o.included, o.Problem = r.included(ctx, obj); o.Problem != nil {
		return o
	}
	o.SameContent = plan.SameContent(obj, o.included)
	if target, ok := plan.Pinned(obj.Spec.Reference); ok && o.Stored && obj.Generation == obj.Status.ObservedGeneration &&
		o.Artifact.Revision == target.Revision && o.SameContent {
		// A commit never changes: what is stored is what is asked for.
		o.Upstream = target.Revision
		return o
	}
	o.target, o.Problem = r.ask(ctx, obj, o)
	o.Upstream = o.target.Revision
	return o
}

// ask asks upstream what the reference names now, or learns it from another object that asks the same.
func (r *Reconciler) ask(ctx context.Context, obj *sourcev1.GitRepository, o *observed) (plan.Target, *plan.Problem) {
	u := upstream(obj)
	answer, err := r.asks.Ask(ctx, u, r.since(obj), r.Clones.Shared(u), func(ctx context.Context) (*git.Session, error) {
		cred, problem := r.credentials(ctx, obj)
		if problem != nil {
			return nil, problem
		}
		return r.Git.Open(obj.Spec.URL, cred)
	})
	if err != nil {
		return plan.Target{}, fetchProblem(obj, err)
	}
	if o.answer = answer; answer.Own {
		o.received = answer.Session.Received()
	}
	target, problem := plan.Resolve(obj.Spec.Reference, answer.Advertised)
	if problem != nil {
		problem.Message = fmt.Sprintf("%s: %s", redact.URL(obj.Spec.URL), problem.Message)
	}
	return target, problem
}

// fetchProblem is what the user reads about an error of the git package, which says no more than it may.
func fetchProblem(obj *sourcev1.GitRepository, err error) *plan.Problem {
	reason := sourcev1.GitOperationFailedReason
	var known *plan.Problem
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, git.ErrStorage):
		return plan.StorageProblem(sourcev1.CacheOperationFailedReason, "%v", err)
	case errors.Is(err, git.ErrAuthentication):
		reason = sourcev1.AuthenticationFailedReason
	case errors.Is(err, git.ErrEmpty):
		reason = plan.ReasonEmptyRepository
	}
	return plan.FetchProblem(reason, "%s: %v", redact.URL(obj.Spec.URL), err)
}
