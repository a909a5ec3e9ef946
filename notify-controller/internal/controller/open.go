package controller

import (
	"context"
	"fmt"
	"time"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/notify-controller/internal/deliver"
	"github.com/sluice-gitops/sluice/notify-controller/internal/provider"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

// Bounds of spec.timeout: a send must end within a shutdown's patience, or soon after.
const (
	minTimeout = time.Second
	maxTimeout = 2 * time.Minute
)

// Open implements [deliver.Open]. Secrets are read from the API server each time, in the Provider's namespace.
func (d *Directory) Open(ctx context.Context, ref route.Ref) (deliver.Opened, error) {
	stored, err := d.provider(ctx, ref.Namespace, ref.Name)
	if err != nil {
		return deliver.Opened{}, err
	}
	if stored.GetUID() != ref.UID {
		return deliver.Opened{}, provider.ErrNotFound
	}
	spec, problem := specOf(stored)
	if problem != "" {
		return deliver.Opened{}, &provider.InvalidError{Reason: problem}
	}
	if spec.Suspend {
		return deliver.Opened{Suspended: true}, nil
	}
	var secrets provider.Secrets
	if secrets.Auth, err = d.secret(ctx, ref.Namespace, "spec.secretRef", spec.SecretRef); err != nil {
		return deliver.Opened{}, err
	}
	if secrets.TLS, err = d.secret(ctx, ref.Namespace, "spec.certSecretRef", spec.CertSecretRef); err != nil {
		return deliver.Opened{}, err
	}
	built, err := provider.Build(spec, secrets)
	if err != nil {
		return deliver.Opened{}, err
	}
	timeout := (&notificationv1beta3.Provider{Spec: spec}).GetTimeout()
	return deliver.Opened{Provider: built, Timeout: min(max(timeout, minTimeout), maxTimeout)}, nil
}

func (d *Directory) secret(ctx context.Context, namespace, field string, ref *meta.LocalObjectReference) (map[string][]byte, error) {
	if ref == nil {
		return nil, nil
	}
	var secret corev1.Secret
	err := d.Live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, &provider.InvalidError{Reason: fmt.Sprintf("the Secret %s/%s of %s does not exist", namespace, ref.Name, field)}
	}
	if err != nil {
		return nil, fmt.Errorf("read the Secret of %s: %w", field, err)
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	return secret.Data, nil
}
