package seal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
)

// Names in the controllers' namespace.
const (
	KeySecret        = "sluice-content-key" //nolint:gosec // the name of a Secret, not its content
	KeyName          = "key"
	RecipientsConfig = "sluice-recipients"
	RecipientsName   = "recipients"
)

// keySize is the length of the content key, in bytes.
const keySize = 32

// recipientsAge is how long the recipients are taken as read. A watch on their ConfigMap shortens it (see [Store.Forget]).
const recipientsAge = 10 * time.Second

// ErrNoRecipients says that sync-controller has not published its recipients yet.
var ErrNoRecipients = errors.New("sync-controller has not published its recipients yet (ConfigMap " + RecipientsConfig + "): " +
	"nothing can be sealed until it runs")

// ErrInvalid says that a key or the recipients in the cluster cannot be used until somebody mends them. What wraps it says how.
var ErrInvalid = errors.New("not usable")

// Recipients are who may open a rendering.
type Recipients struct {
	Keys []age.Recipient
	// Fingerprint names the set (see [rendering.Fingerprint]).
	Fingerprint string
}

// Store reads the key and the recipients from the cluster. It is safe for concurrent use.
type Store struct {
	// Client reads live, and creates the Secret.
	Client client.Client
	// Namespace the controllers run in.
	Namespace string
	Clock     clock.PassiveClock

	mu         sync.Mutex
	key        []byte
	recipients *Recipients
	readAt     time.Time
}

// Key returns the key of the content tags. The first call creates it when there is none; replicas that do so at the same
// time agree on one.
func (s *Store) Key(ctx context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key != nil {
		return s.key, nil
	}
	key, err := s.readKey(ctx)
	if apierrors.IsNotFound(err) {
		if err := s.createKey(ctx); err != nil {
			return nil, err
		}
		key, err = s.readKey(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("content key: %w", err)
	}
	s.key = key
	return key, nil
}

func (s *Store) readKey(ctx context.Context) ([]byte, error) {
	var secret corev1.Secret
	if err := s.Client.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: KeySecret}, &secret); err != nil {
		return nil, err
	}
	if key := secret.Data[KeyName]; len(key) == keySize {
		return key, nil
	}
	return nil, fmt.Errorf("%w: the Secret %s/%s has no %d bytes under %q: delete it to have a new one made",
		ErrInvalid, s.Namespace, KeySecret, keySize, KeyName)
}

func (s *Store) createKey(ctx context.Context) error {
	key := make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("create content key: %w", err)
	}
	immutable := true
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: KeySecret},
		Data:       map[string][]byte{KeyName: key},
		Immutable:  &immutable,
	}
	if err := s.Client.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create content key: %w", err)
	}
	return nil
}

// Recipients returns who to seal to. The error is [ErrNoRecipients] when nobody is named yet.
func (s *Store) Recipients(ctx context.Context) (Recipients, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.recipients != nil && s.Clock.Since(s.readAt) < recipientsAge {
		return *s.recipients, nil
	}
	var config corev1.ConfigMap
	err := s.Client.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: RecipientsConfig}, &config)
	if apierrors.IsNotFound(err) {
		return Recipients{}, ErrNoRecipients
	}
	if err != nil {
		return Recipients{}, fmt.Errorf("read recipients: %w", err)
	}
	keys, lines, err := rendering.ParseRecipients(config.Data[RecipientsName])
	if err != nil {
		return Recipients{}, fmt.Errorf("%w: ConfigMap %s/%s: %w: restart sync-controller to have it written anew", ErrInvalid, s.Namespace, RecipientsConfig, err)
	}
	if len(keys) == 0 {
		return Recipients{}, ErrNoRecipients
	}
	s.recipients = &Recipients{Keys: keys, Fingerprint: rendering.Fingerprint(lines)}
	s.readAt = s.Clock.Now()
	return *s.recipients, nil
}

// Forget has the next [Store.Recipients] read them again.
func (s *Store) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recipients = nil
}
