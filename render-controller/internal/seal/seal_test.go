package seal

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-gitops/sluice/api/rendering"
)

const namespace = "flux-system"

func newStore(objects ...client.Object) (*Store, *clocktesting.FakePassiveClock) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	return &Store{
		Client: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).Build(), Namespace: namespace, Clock: clock,
	}, clock
}

func TestKeyIsMadeOnce(t *testing.T) {
	s, _ := newStore()
	key, err := s.Key(t.Context())
	if err != nil || len(key) != keySize {
		t.Fatalf("key of %d bytes, %v", len(key), err)
	}
	replica := &Store{Client: s.Client, Namespace: namespace, Clock: s.Clock}
	if again, err := replica.Key(t.Context()); err != nil || !bytes.Equal(again, key) {
		t.Errorf("a replica has another key, error %v", err)
	}
}

func TestKeyRefusesAnother(t *testing.T) {
	s, _ := newStore(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: KeySecret}, Data: map[string][]byte{KeyName: []byte("canary")},
	})
	if _, err := s.Key(t.Context()); err == nil || !strings.Contains(err.Error(), KeySecret) || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v, want one that names the Secret and not what it holds", err)
	}
}

func TestRecipients(t *testing.T) {
	s, clock := newStore()
	if _, err := s.Recipients(t.Context()); !errors.Is(err, ErrNoRecipients) {
		t.Errorf("error %v, want ErrNoRecipients", err)
	}
	publish := func() string {
		_, recipient, err := rendering.GenerateIdentity()
		if err != nil {
			t.Fatal(err)
		}
		config := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: RecipientsConfig}, Data: map[string]string{RecipientsName: recipient + "\n"},
		}
		if err := s.Client.Create(t.Context(), config); err != nil {
			if err := s.Client.Update(t.Context(), config); err != nil {
				t.Fatal(err)
			}
		}
		return rendering.Fingerprint([]string{recipient})
	}
	want := func(reason, fingerprint string) {
		t.Helper()
		if got, err := s.Recipients(t.Context()); err != nil || got.Fingerprint != fingerprint || len(got.Keys) != 1 {
			t.Errorf("%s: %+v, %v; want %s", reason, got, err, fingerprint)
		}
	}
	first := publish()
	want("they are published", first)
	second := publish()
	want("they were read a moment ago", first)
	clock.SetTime(clock.Now().Add(recipientsAge))
	want("they were read long ago", second)
	third := publish()
	s.Forget()
	want("the watch told of a change", third)
}
