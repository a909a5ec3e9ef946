package identity

import (
	"bytes"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-gitops/sluice/api/rendering"
)

func recipients(t *testing.T, c client.Client) string {
	t.Helper()
	cm := &corev1.ConfigMap{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: ConfigMapName}, cm); err != nil {
		t.Fatal(err)
	}
	return cm.Data[ConfigMapKey]
}

func TestEnsure(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	made, err := Ensure(t.Context(), c, "ns")
	if err != nil || len(made.Identities) != 1 || len(made.Fingerprint) != 32 {
		t.Fatalf("%d identities, %v", len(made.Identities), err)
	}
	published := recipients(t, c)
	if !strings.HasPrefix(published, "age1") {
		t.Errorf("published %q", published)
	}
	again, err := Ensure(t.Context(), c, "ns")
	if err != nil || !bytes.Equal(again.Fingerprint, made.Fingerprint) || recipients(t, c) != published {
		t.Errorf("a second start has another identity: %v", err)
	}
}

func TestRotation(t *testing.T) {
	oldLine, oldRecipient, err := rendering.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	newLine, newRecipient, err := rendering.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		reason, text, want, err string
	}{
		"two":     {reason: "a rotation keeps the old one for a while", text: newLine + "\n" + oldLine + "\n", want: newRecipient + "\n" + oldRecipient + "\n"},
		"three":   {reason: "not for ever", text: strings.Repeat(newLine+"\n", 3), err: "at most 2"},
		"garbage": {reason: "what is no key is named, not shown", text: "secret-looking-text", err: "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := fake.NewClientBuilder().WithObjects(&corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: IdentityName}, Data: map[string][]byte{IdentityKey: []byte(tc.text)},
			}).Build()
			_, err := Ensure(t.Context(), c, "ns")
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "secret-looking") {
					t.Errorf("%s: %v", tc.reason, err)
				}
				return
			}
			if err != nil || recipients(t, c) != tc.want {
				t.Errorf("%s: %v, published %q", tc.reason, err, recipients(t, c))
			}
		})
	}
}
