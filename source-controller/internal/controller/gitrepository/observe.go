package gitrepository

import (
	"context"
	"errors"
	"fmt"

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
	// session has the advertisement of upstream; nil if upstream was not asked.
	session *git.Session
}

func (o *observed) close() {
	if o.session != nil {
		o.session.Close()
	}
}

// received is how many bytes upstream has sent until now.
func (o *observed) received() int64 {
	if o.session == nil {
		return 0
	}
	return o.session.Received()
}

// observe gathers what decides about an object. Upstream is asked last, once, and only if its answer can matter.
func (r *Reconciler) observe(ctx context.Context, obj *sourcev1.GitRepository, known plan.Observed) *observed {
	o := &observed{Observed: known}
	o.SameContent = plan.SameContent(obj.Spec, obj.Status)
	if o.Problem = plan.Validate(obj.Spec); o.Problem != nil {
		return o
	}
	if target, ok := plan.Pinned(obj.Spec.Reference); ok && o.Stored && obj.Generation == obj.Status.ObservedGeneration &&
		o.Artifact.Revision == target.Revision && o.SameContent {
		// A commit never changes: what is stored is what is asked for.
		o.Upstream = target.Revision
		return o
	}
	cred, problem := r.credentials(ctx, obj)
	if problem != nil {
		o.Problem = problem
		return o
	}
	o.target, o.Problem = o.ask(ctx, r.Git, obj, cred)
	o.Upstream = o.target.Revision
	return o
}

// ask asks upstream what the reference names now.
func (o *observed) ask(
	ctx context.Context, client *git.Client, obj *sourcev1.GitRepository, cred git.Credentials,
) (plan.Target, *plan.Problem) {
	session, err := client.Open(obj.Spec.URL, cred)
	if err != nil {
		return plan.Target{}, fetchProblem(obj, err)
	}
	o.session = session
	adv, err := session.Advertise(ctx)
	if err != nil {
		return plan.Target{}, fetchProblem(obj, err)
	}
	target, problem := plan.Resolve(obj.Spec.Reference, adv)
	if problem != nil {
		problem.Message = fmt.Sprintf("%s: %s", redact.URL(obj.Spec.URL), problem.Message)
	}
	return target, problem
}

// fetchProblem is what the user reads about an error of the git package, which says no more than it may.
func fetchProblem(obj *sourcev1.GitRepository, err error) *plan.Problem {
	reason := sourcev1.GitOperationFailedReason
	switch {
	case errors.Is(err, git.ErrStorage):
		return plan.StorageProblem(sourcev1.CacheOperationFailedReason, "%v", err)
	case errors.Is(err, git.ErrAuthentication):
		reason = sourcev1.AuthenticationFailedReason
	case errors.Is(err, git.ErrEmpty):
		reason = plan.ReasonEmptyRepository
	}
	return plan.FetchProblem(reason, "%s: %v", redact.URL(obj.Spec.URL), err)
}
