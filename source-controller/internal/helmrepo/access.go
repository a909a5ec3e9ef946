package helmrepo

import (
	"context"
	"errors"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

const (
	secretField = "spec.secretRef" //nolint:gosec // the name of a field
	certField   = "spec.certSecretRef"
)

// AccessOf is how a HelmRepository that is served over HTTP is reached: for its index, and for its charts.
func AccessOf(ctx context.Context, secrets secret.Reader, obj *sourcev1.HelmRepository) (Access, *plan.Problem) {
	a := Access{URL: obj.Spec.URL, PassCredentials: obj.Spec.PassCredentials}
	var problem *plan.Problem
	if a.TLS, problem = TLSOf(ctx, secrets, obj); problem != nil {
		return a, problem
	}
	a.TLSField = certField
	ref := obj.Spec.SecretRef
	if ref == nil {
		return a, nil
	}
	data, problem := secrets.Data(ctx, obj.Namespace, ref.Name, secretField)
	if problem != nil {
		return a, problem
	}
	a.LoginField = secretField
	var err error
	if a.Login, err = secret.ParseLogin(data); err != nil {
		return a, secret.Unusable(obj.Namespace, ref.Name, secretField, err)
	}
	if obj.Spec.CertSecretRef == nil { // Flux deprecates it, and takes it
		if a.TLS, err = secret.ParseTLS(data); err != nil {
			return a, secret.Unusable(obj.Namespace, ref.Name, secretField, err)
		}
		if !a.TLS.IsZero() {
			a.TLSField = secretField
		}
	}
	if a.Login.IsZero() && a.TLS.IsZero() {
		return a, secret.Unusable(obj.Namespace, ref.Name, secretField, errors.New("it has neither username and password nor a certificate"))
	}
	return a, nil
}

// TLSOf is what spec.certSecretRef of a HelmRepository has; zero without one.
func TLSOf(ctx context.Context, secrets secret.Reader, obj *sourcev1.HelmRepository) (t secret.TLS, problem *plan.Problem) {
	ref := obj.Spec.CertSecretRef
	if ref == nil {
		return t, nil
	}
	data, problem := secrets.Data(ctx, obj.Namespace, ref.Name, certField)
	if problem != nil {
		return t, problem
	}
	t, err := secret.ParseTLS(data)
	if err == nil && t.IsZero() {
		err = errors.New("it has none of ca.crt, tls.crt and tls.key")
	}
	if err != nil {
		return t, secret.Unusable(obj.Namespace, ref.Name, certField, err)
	}
	return t, nil
}

// Problem is what the user reads about an error of a repository at an address, with a reason unless there is a better one.
func Problem(address, reason string, err error) *plan.Problem {
	if errors.Is(err, ErrAuthentication) {
		reason = sourcev1.AuthenticationFailedReason
	}
	p := plan.FetchProblem(reason, "%s: %v", redact.URL(address), err)
	var limited *RateLimited
	if errors.As(err, &limited) {
		p.After = limited.After
	}
	return p
}
