package gitrepository

import (
	"context"
	"errors"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
)

// observed is what an attempt knows before it decides.
type observed struct {
	plan.Observed
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
func (r *Reconciler) observe(ctx context.Context, obj *sourcev1.GitRepository) *observed {
	o := &observed{Observed: plan.Observed{Suspended: obj.Spec.Suspend, Spec: obj.Spec, Status: obj.Status}}
	if o.Suspended {
		return o
	}
	if o.Stored, o.Problem = r.stored(obj); o.Problem != nil {
		return o
	}
	if o.Problem = plan.Validate(obj.Spec); o.Problem != nil {
		return o
	}
	if target, ok := plan.Pinned(obj.Spec.Reference); ok && o.Stored && obj.Generation == obj.Status.ObservedGeneration &&
		obj.Status.Artifact.Revision == target.Revision && plan.SameContent(obj.Spec, obj.Status) {
		// A commit never changes: what is stored is what is asked for.
		o.Target = target
		return o
	}
	cred, problem := r.credentials(ctx, obj)
	if problem != nil {
		o.Problem = problem
		return o
	}
	o.Target, o.Problem = o.ask(ctx, r.Git, obj, cred)
	return o
}

func (r *Reconciler) stored(obj *sourcev1.GitRepository) (bool, *plan.Problem) {
	artifact := obj.Status.Artifact
	if artifact == nil {
		return false, nil
	}
	ok, err := r.Store.Verify(artifact.Path, artifact.Digest)
	if err != nil {
		return false, plan.StorageProblem(sourcev1.ReadOperationFailedReason, "check the stored artifact: %v", err)
	}
	return ok, nil
}

func (r *Reconciler) credentials(ctx context.Context, obj *sourcev1.GitRepository) (git.Credentials, *plan.Problem) {
	var cred git.Credentials
	if ref := obj.Spec.SecretRef; ref != nil {
		data, problem := r.secret(ctx, obj.Namespace, ref.Name, "spec.secretRef")
		if problem != nil {
			return cred, problem
		}
		var err error
		if cred, err = git.ParseCredentials(data); err != nil {
			return cred, plan.FetchProblem(sourcev1.AuthenticationFailedReason,
				"Secret %s/%s of spec.secretRef cannot be used: %v", obj.Namespace, ref.Name, err)
		}
	}
	ref := obj.Spec.ProxySecretRef
	if ref == nil {
		return cred, nil
	}
	data, problem := r.secret(ctx, obj.Namespace, ref.Name, "spec.proxySecretRef")
	if problem != nil {
		return cred, problem
	}
	cred, err := cred.WithProxy(data)
	if err != nil {
		return cred, plan.FetchProblem(sourcev1.AuthenticationFailedReason,
			"Secret %s/%s of spec.proxySecretRef cannot be used: %v", obj.Namespace, ref.Name, err)
	}
	return cred, nil
}

func (r *Reconciler) secret(ctx context.Context, namespace, name, field string) (map[string][]byte, *plan.Problem) {
	var secret corev1.Secret
	err := r.Secrets.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, plan.FetchProblem(sourcev1.AuthenticationFailedReason,
			"Secret %s/%s of %s does not exist; create it, or correct the name", namespace, name, field)
	case apierrors.IsForbidden(err):
		return nil, plan.FetchProblem(sourcev1.AuthenticationFailedReason,
			"source-controller may not read Secret %s/%s of %s; grant it the right to", namespace, name, field)
	case err != nil:
		return nil, plan.FetchProblem(sourcev1.AuthenticationFailedReason,
			"Secret %s/%s of %s cannot be read: %s", namespace, name, field, plan.Unreadable(err))
	}
	return secret.Data, nil
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
