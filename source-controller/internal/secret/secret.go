// Package secret reads the Secrets and ServiceAccounts that sources name, and parses what Flux defines for them: a [Login],
// [TLS], a [Proxy]. What it returns prints as nothing, and its errors name keys, never values.
package secret

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// Reader reads from the API server, uncached: a credential that was renewed counts at once, and none is kept in memory.
type Reader struct {
	Live client.Reader
}

// Secret reads a Secret. field is how the spec names it, such as "spec.secretRef".
func (r Reader) Secret(ctx context.Context, namespace, name, field string) (*corev1.Secret, *plan.Problem) {
	var found corev1.Secret
	if p := r.get(ctx, &found, "Secret", namespace, name, field); p != nil {
		return nil, p
	}
	return &found, nil
}

// Data reads what a Secret holds.
func (r Reader) Data(ctx context.Context, namespace, name, field string) (map[string][]byte, *plan.Problem) {
	found, p := r.Secret(ctx, namespace, name, field)
	if p != nil {
		return nil, p
	}
	return found.Data, nil
}

// ServiceAccount reads a ServiceAccount.
func (r Reader) ServiceAccount(ctx context.Context, namespace, name, field string) (*corev1.ServiceAccount, *plan.Problem) {
	var found corev1.ServiceAccount
	if p := r.get(ctx, &found, "ServiceAccount", namespace, name, field); p != nil {
		return nil, p
	}
	return &found, nil
}

func (r Reader) get(ctx context.Context, into client.Object, kind, namespace, name, field string) *plan.Problem {
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into)
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return plan.FetchProblem(sourcev1.AuthenticationFailedReason,
			"%s %s/%s of %s does not exist; create it, or correct the name", kind, namespace, name, field)
	case apierrors.IsForbidden(err):
		return plan.FetchProblem(sourcev1.AuthenticationFailedReason,
			"source-controller may not read %s %s/%s of %s; grant it the right to", kind, namespace, name, field)
	}
	return plan.FetchProblem(sourcev1.AuthenticationFailedReason,
		"%s %s/%s of %s cannot be read: %s", kind, namespace, name, field, plan.Unreadable(err))
}

// Unusable is the problem with a Secret that holds something wrong, which the error names without quoting it.
func Unusable(namespace, name, field string, err error) *plan.Problem {
	return plan.FetchProblem(sourcev1.AuthenticationFailedReason,
		"Secret %s/%s of %s cannot be used: %v", namespace, name, field, err)
}
