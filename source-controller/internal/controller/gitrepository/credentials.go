package gitrepository

import (
	"context"
	"errors"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

// The fields that Secrets are named by.
const (
	loginField = "spec.secretRef"
	proxyField = "spec.proxySecretRef"
)

// credentials are how to reach an object's repository, and who we are there.
func (r *Reconciler) credentials(ctx context.Context, obj *sourcev1.GitRepository) (git.Credentials, *plan.Problem) {
	proxy, problem := r.proxy(ctx, obj)
	if problem != nil {
		return git.Credentials{}, problem
	}
	data, problem := r.secret(ctx, obj)
	if problem != nil {
		return git.Credentials{}, problem
	}
	cred, err := r.login(ctx, obj, data, proxy)
	switch found := (*plan.Problem)(nil); {
	case errors.As(err, &found):
		return git.Credentials{}, found
	case err != nil && obj.Spec.SecretRef == nil:
		return git.Credentials{}, plan.FetchProblem(sourcev1.AuthenticationFailedReason, "spec.provider %s: %v", obj.Spec.Provider, err)
	case err != nil:
		return git.Credentials{}, secret.Unusable(obj.Namespace, obj.Spec.SecretRef.Name, loginField, err)
	}
	cred.Proxy = proxy
	return cred, nil
}

// secret is what the object's Secret holds; nothing if it has none.
func (r *Reconciler) secret(ctx context.Context, obj *sourcev1.GitRepository) (map[string][]byte, *plan.Problem) {
	ref := obj.Spec.SecretRef
	if ref == nil {
		return nil, nil
	}
	data, problem := r.Secrets.Data(ctx, obj.Namespace, ref.Name, loginField)
	if problem == nil {
		problem = plan.FitsProvider(obj.Spec.Provider, obj.Namespace+"/"+ref.Name, data)
	}
	return data, problem
}

// login is who we are to the provider. An error that is no problem is the Secret's.
func (r *Reconciler) login(
	ctx context.Context, obj *sourcev1.GitRepository, data map[string][]byte, proxy secret.Proxy,
) (cred git.Credentials, err error) {
	if provider := obj.Spec.Provider; provider == "" || provider == sourcev1.GitProviderGeneric {
		if obj.Spec.SecretRef == nil {
			return cred, nil
		}
		return git.ParseCredentials(obj.Spec.URL, data)
	}
	if cred.TLS, err = secret.ParseTLS(data); err != nil {
		return cred, err
	}
	cred.Provider = obj.Spec.Provider
	subject := identity.Subject{
		Kind: sourcev1.GitRepositoryKind, Namespace: obj.Namespace, Name: obj.Name,
		ServiceAccount: obj.Spec.ServiceAccountName, Proxy: proxy.URL,
	}
	if obj.Spec.Provider == sourcev1.GitProviderGitHub {
		cred.Login, err = r.Identity.GitHubApp(ctx, subject, data, cred.TLS)
	} else {
		cred.Login, err = r.Identity.Git(ctx, obj.Spec.Provider, subject, obj.Spec.URL)
	}
	return cred, err
}

func (r *Reconciler) proxy(ctx context.Context, obj *sourcev1.GitRepository) (secret.Proxy, *plan.Problem) {
	ref := obj.Spec.ProxySecretRef
	if ref == nil {
		return secret.Proxy{}, nil
	}
	data, problem := r.Secrets.Data(ctx, obj.Namespace, ref.Name, proxyField)
	if problem != nil {
		return secret.Proxy{}, problem
	}
	proxy, err := secret.ParseProxy(data)
	if err != nil {
		return secret.Proxy{}, secret.Unusable(obj.Namespace, ref.Name, proxyField, err)
	}
	return proxy, nil
}

// renew has a provider give another login the next time, if the one it gave was not taken: a token may be taken away before
// its time.
func (r *Reconciler) renew(obj *sourcev1.GitRepository, p *plan.Problem) {
	provider := obj.Spec.Provider
	if p != nil && p.Reason == sourcev1.AuthenticationFailedReason && provider != "" && provider != sourcev1.GitProviderGeneric {
		r.Identity.Refused(sourcev1.GitRepositoryKind, obj.Namespace, obj.Name)
	}
}
