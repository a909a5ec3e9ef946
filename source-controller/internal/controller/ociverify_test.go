package controller_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/ocitest"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/signtest"
)

// TestS29OCIVerify: nothing is stored before its signature was found good, by the digest that is pulled; what was verified is
// not asked about again; what is signed by nobody leaves the last good artifact.
func TestS29OCIVerify(t *testing.T) {
	t.Parallel()
	for provider, tc := range map[string]struct {
		// sign signs, and returns what the Secret of spec.verify needs to trust that.
		sign func(ctx context.Context, ref name.Digest) (map[string][]byte, error)
		by   string
	}{
		"cosign": {func(_ context.Context, ref name.Digest) (map[string][]byte, error) {
			public, err := signtest.Bundle(ref)
			return map[string][]byte{"release.pub": public}, err
		}, "release.pub"},
		"notation": {func(ctx context.Context, ref name.Digest) (map[string][]byte, error) {
			authority, err := signtest.Notation(ctx, ref)
			return map[string][]byte{"ca.crt": authority, "trustpolicy.json": signtest.Policy("strict")}, err
		}, "CN=release"},
	} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(t)
			signed := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 1\n"}, nil))
			ref, err := name.NewDigest(reg.Host() + "/app@" + signed)
			if err != nil {
				t.Fatal(err)
			}
			trust, err := tc.sign(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			obj := createOCI(t, reg, func(o *sourcev1.OCIRepository) {
				o.Spec.Verify = &sourcev1.OCIRepositoryVerification{Provider: provider, SecretRef: &meta.LocalObjectReference{Name: "trust"}}
			})
			refused := func(text string) func() error {
				return func() error {
					if err := hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionFalse, sourcev1.VerificationError, text); err != nil {
						return err
					}
					return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, sourcev1.VerificationError, text)
				}
			}
			until(t, obj, refused("/trust of spec.verify.secretRef does not exist"))
			if obj.Status.Artifact != nil {
				t.Errorf("%+v was stored unverified", obj.Status.Artifact)
			}
			ociSecret(t, obj.Namespace, "trust", corev1.SecretTypeOpaque, trust)
			until(t, obj, ociAt(obj, "latest@"+signed))
			if err := hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason,
				"verified signature of revision latest@"+signed+" by "); err != nil {
				t.Error(err)
			}
			if err := hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionTrue, "", tc.by); err != nil {
				t.Error(err)
			}
			reg.Requests()
			request(t, obj)
			if asked := reg.Requests(); len(asked) != 1 || asked[0] != "HEAD /v2/app/manifests/latest" {
				t.Errorf("what is verified asked %v", asked)
			}

			unsigned := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 2\n"}, nil))
			reg.Requests()
			request(t, obj)
			if err := refused("latest@" + unsigned)(); err != nil {
				t.Error(err)
			}
			for _, r := range reg.Requests() {
				if r == "GET /v2/app/manifests/"+unsigned && provider == "cosign" {
					t.Errorf("what is not signed is pulled: %s", r)
				}
			}
			if !obj.Status.Artifact.HasRevision("latest@" + signed) {
				t.Errorf("the artifact is %+v", obj.Status.Artifact)
			}
			get(t, obj.Status.Artifact.URL, http.StatusOK)

			editOCI(t, obj, func(s *sourcev1.OCIRepositorySpec) { s.Verify = nil })
			until(t, obj, ociAt(obj, "latest@"+unsigned))
			if c := apimeta.FindStatusCondition(obj.Status.Conditions, sourcev1.SourceVerifiedCondition); c != nil {
				t.Errorf("what is not verified says %+v", c)
			}
		})
	}
}
