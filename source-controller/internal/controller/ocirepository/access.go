package ocirepository

import (
	"context"
	"errors"
	"fmt"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

const (
	loginField   = "spec.secretRef"
	accountField = "spec.serviceAccountName"
)

// access is how an object reaches its repository. close must be called.
func (r *Reconciler) access(ctx context.Context, obj *sourcev1.OCIRepository, repo oci.Name) (o oci.Options, done func(), p *plan.Problem) {
	done = func() {}
	if o.Peer, p = r.peer(ctx, obj); p != nil {
		return o, done, p
	}
	o.Peer.Host = repo.RegistryStr()
	if p := r.login(ctx, obj, repo, &o); p != nil {
		return o, done, p
	}
	o.Transport, o.Elsewhere, done = r.Connections.Transports(o.Peer)
	o.Insecure, o.Memory = obj.Spec.Insecure, r.memories.of(obj)
	o.Limits = oci.Limits{Layer: r.Limits.Bytes}
	return o, done, nil
}

// peer is what an object's own authorities, certificate and proxy make of the connection.
func (r *Reconciler) peer(ctx context.Context, obj *sourcev1.OCIRepository) (peer wire.Peer, p *plan.Problem) {
	const certField, proxyField = "spec.certSecretRef", "spec.proxySecretRef"
	peer.TLSField = certField
	if ref := obj.Spec.CertSecretRef; ref != nil {
		data, p := r.Secrets.Data(ctx, obj.Namespace, ref.Name, certField)
		if p != nil {
			return peer, p
		}
		var err error
		if peer.TLS, err = secret.ParseTLS(data); err == nil && peer.TLS.IsZero() {
			err = errors.New("it has none of ca.crt, tls.crt and tls.key")
		}
		if err != nil {
			return peer, secret.Unusable(obj.Namespace, ref.Name, certField, err)
		}
	}
	// As in Flux: whoever takes plain HTTP and names no authority takes any certificate.
	peer.Unverified = obj.Spec.Insecure && peer.TLS.IsZero()
	ref := obj.Spec.ProxySecretRef
	if ref == nil {
		return peer, nil
	}
	data, p := r.Secrets.Data(ctx, obj.Namespace, ref.Name, proxyField)
	if p != nil {
		return peer, p
	}
	proxy, err := secret.ParseProxy(data)
	if err != nil {
		return peer, secret.Unusable(obj.Namespace, ref.Name, proxyField, err)
	}
	peer.Proxy = proxy
	return peer, nil
}

// login finds the credentials: those of spec.secretRef, those of the pull secrets of the ServiceAccount, and if there are
// neither, those of the cloud that spec.provider names.
func (r *Reconciler) login(ctx context.Context, obj *sourcev1.OCIRepository, repo oci.Name, o *oci.Options) *plan.Problem {
	logins, fields, problem := r.pullSecrets(ctx, obj)
	if problem != nil {
		return problem
	}
	provider := obj.Spec.Provider
	switch {
	case !logins.IsZero():
		o.Auth, o.AuthField = logins.For(repo), fields
		if o.Auth == nil {
			o.AuthHint = fmt.Sprintf("; the docker config of %s has none for %s", fields, repo.RegistryStr())
		}
		return nil
	case provider != "" && provider != sourcev1.GenericOCIProvider:
		return r.cloudLogin(ctx, obj, o)
	}
	return nil
}

func (r *Reconciler) pullSecrets(ctx context.Context, obj *sourcev1.OCIRepository) (logins oci.Logins, fields string, p *plan.Problem) {
	var named []string
	if ref := obj.Spec.SecretRef; ref != nil {
		if p := r.dockerConfig(ctx, obj.Namespace, ref.Name, loginField, &logins); p != nil {
			return logins, "", p
		}
		named = append(named, loginField)
	}
	if account := obj.Spec.ServiceAccountName; account != "" {
		found, p := r.Secrets.ServiceAccount(ctx, obj.Namespace, account, accountField)
		if p != nil {
			return logins, "", p
		}
		for _, ref := range found.ImagePullSecrets {
			if p := r.dockerConfig(ctx, obj.Namespace, ref.Name, "the imagePullSecrets of "+accountField, &logins); p != nil {
				return logins, "", p
			}
		}
		if len(found.ImagePullSecrets) > 0 {
			named = append(named, accountField)
		}
	}
	return logins, strings.Join(named, " and "), nil
}

// dockerConfig reads the logins in a pull secret, of either form that Kubernetes has.
func (r *Reconciler) dockerConfig(ctx context.Context, namespace, name, field string, into *oci.Logins) *plan.Problem {
	data, p := r.Secrets.Data(ctx, namespace, name, field)
	if p != nil {
		return p
	}
	config, ok := data[corev1.DockerConfigJsonKey]
	if !ok {
		config, ok = data[corev1.DockerConfigKey]
	}
	err := errors.New("it has no .dockerconfigjson; make it with kubectl create secret docker-registry")
	if ok {
		err = into.Add(config)
	}
	if err != nil {
		return secret.Unusable(namespace, name, field, err)
	}
	return nil
}

// cloudLogin logs in as the ServiceAccount that the object names, or as this controller.
func (r *Reconciler) cloudLogin(ctx context.Context, obj *sourcev1.OCIRepository, o *oci.Options) *plan.Problem {
	login, err := r.Clouds.Registry(ctx, obj.Spec.Provider, identity.Subject{
		Kind: sourcev1.OCIRepositoryKind, Namespace: obj.Namespace, Name: obj.Name,
		ServiceAccount: obj.Spec.ServiceAccountName, Proxy: o.Peer.Proxy.URL,
	}, obj.Spec.URL)
	var problem *plan.Problem
	switch {
	case errors.As(err, &problem):
		return problem
	case err != nil:
		return plan.FetchProblem(sourcev1.AuthenticationFailedReason, "spec.provider %s: %v", obj.Spec.Provider, err)
	}
	o.AuthField = "the identity that spec.provider " + obj.Spec.Provider + " logs in with"
	o.Auth = oci.LoginOf(login)
	return nil
}
