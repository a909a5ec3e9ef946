// Package identity keeps the age key pair that renderings are sealed to: the secret half in a Secret that only
// sync-controller reads, the public half in a ConfigMap that render-controller reads.
//
// To rotate, put a new identity line before the old one in the Secret and restart: renderings are then sealed to both,
// until the old line is taken out.
package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
)

// Names of the two objects, in the controllers' own namespace, and of their keys.
const (
	IdentityName     = "sluice-sync-identity"
	IdentityKey      = "identity"
	ConfigMapName    = "sluice-recipients"
	ConfigMapKey     = "recipients"
	maxIdentityLines = 2

	fingerprintPurpose = "sluice.dev/sync/fingerprint/1"
)

// Keys are what comes of the identity.
type Keys struct {
	// Identities open renderings.
	Identities []age.Identity
	// Fingerprint keys what is remembered of applied objects on disk: without the identity nobody can test guesses.
	Fingerprint []byte
}

// Ensure creates the identity if there is none, publishes its recipients, and returns what opens renderings. The client
// must not read Secrets and ConfigMaps from a cache.
func Ensure(ctx context.Context, c client.Client, namespace string) (Keys, error) {
	text, err := secret(ctx, c, namespace)
	if err != nil {
		return Keys{}, err
	}
	identities, recipients, err := rendering.ParseIdentities(text)
	if err != nil {
		return Keys{}, fmt.Errorf("read Secret %s/%s, key %s: %w", namespace, IdentityName, IdentityKey, err)
	}
	if len(identities) > maxIdentityLines {
		return Keys{}, fmt.Errorf("read Secret %s/%s, key %s: it holds %d identities, at most %d are used",
			namespace, IdentityName, IdentityKey, len(identities), maxIdentityLines)
	}
	if err := publish(ctx, c, namespace, recipients); err != nil {
		return Keys{}, err
	}
	mac := hmac.New(sha256.New, []byte(text))
	mac.Write([]byte(fingerprintPurpose))
	return Keys{Identities: identities, Fingerprint: mac.Sum(nil)}, nil
}

// secret returns the identity lines, making them when there are none. Two replicas that start together agree on the one
// that was created first.
func secret(ctx context.Context, c client.Client, namespace string) (string, error) {
	found := &corev1.Secret{}
	key := client.ObjectKey{Namespace: namespace, Name: IdentityName}
	err := c.Get(ctx, key, found)
	if apierrors.IsNotFound(err) {
		if err := create(ctx, c, key); err != nil {
			return "", err
		}
		err = c.Get(ctx, key, found)
	}
	if err != nil {
		return "", fmt.Errorf("read Secret %s: %w", key, err)
	}
	return string(found.Data[IdentityKey]), nil
}

func create(ctx context.Context, c client.Client, key client.ObjectKey) error {
	line, _, err := rendering.GenerateIdentity()
	if err != nil {
		return err
	}
	err = c.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Data:       map[string][]byte{IdentityKey: []byte(line + "\n")},
	})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create Secret %s: %w", key, err)
	}
	return nil
}

func publish(ctx context.Context, c client.Client, namespace string, recipients []string) error {
	key := client.ObjectKey{Namespace: namespace, Name: ConfigMapName}
	want := strings.Join(recipients, "\n") + "\n"
	found := &corev1.ConfigMap{}
	err := c.Get(ctx, key, found)
	switch {
	case apierrors.IsNotFound(err):
		err = c.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
			Data:       map[string]string{ConfigMapKey: want},
		})
	case err == nil && found.Data[ConfigMapKey] != want:
		found.Data = map[string]string{ConfigMapKey: want}
		err = c.Update(ctx, found)
	}
	if err != nil {
		return fmt.Errorf("publish recipients in ConfigMap %s: %w", key, err)
	}
	return nil
}
