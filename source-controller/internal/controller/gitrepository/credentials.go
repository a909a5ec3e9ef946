package gitrepository

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

// The fields that Secrets are named by.
const (
	secretField = "spec.secretRef"
	proxyField  = "spec.proxySecretRef"
)

// credentials are how to reach an object's repository, and who we are there.
func (r *Reconciler) credentials(ctx context.Context, obj *sourcev1.GitRepository) (git.Credentials, *plan.Problem) {
	cred, problem := r.login(ctx, obj)
	if problem != nil {
		return cred, problem
	}
	cred.Proxy, problem = r.proxy(ctx, obj)
	return cred, problem
}

func (r *Reconciler) login(ctx context.Context, obj *sourcev1.GitRepository) (git.Credentials, *plan.Problem) {
	ref := obj.Spec.SecretRef
	if ref == nil {
		return git.Credentials{}, nil
	}
	data, problem := r.Secrets.Data(ctx, obj.Namespace, ref.Name, secretField)
	if problem != nil {
		return git.Credentials{}, problem
	}
	cred, err := git.ParseCredentials(obj.Spec.URL, data)
	if err != nil {
		return git.Credentials{}, secret.Unusable(obj.Namespace, ref.Name, secretField, err)
	}
	return cred, nil
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
