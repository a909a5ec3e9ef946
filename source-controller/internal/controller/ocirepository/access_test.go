package ocirepository

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/ocitest"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

// clouds gives away one login, or an error, and says what it was asked.
type clouds struct {
	login secret.Login
	err   error
	asked []string
}

func (c *clouds) Registry(_ context.Context, provider string, s identity.Subject, repository string) (secret.Login, error) {
	c.asked = append(c.asked, fmt.Sprintf("%s for %s/%s as %q of %s", provider, s.Namespace, s.Name, s.ServiceAccount, repository))
	return c.login, c.err
}

func (c *clouds) Forget(kind, namespace, name string) {
	c.asked = append(c.asked, "forget "+kind+" "+namespace+"/"+name)
}

// TestWhichLoginCounts: the object's own comes before that of its ServiceAccount, and both before a cloud's.
func TestWhichLoginCounts(t *testing.T) {
	t.Parallel()
	gate := plan.FetchProblem(meta.FeatureGateDisabledReason, "spec.serviceAccountName: start source-controller with --feature-gates")
	gate.Terminal = true
	for name, tc := range map[string]struct {
		reason string
		spec   func(*sourcev1.OCIRepositorySpec)
		clouds clouds
		// asked is what the cloud is asked; empty for nothing. problem is in the message; empty for success.
		asked, problem string
	}{
		"a cloud": {"nothing else is there", func(s *sourcev1.OCIRepositorySpec) { s.Provider = "aws" },
			clouds{login: secret.Login{Username: "robot", Password: "canary-cloud"}}, `aws for apps/web as "" of `, ""},
		"a cloud, as a ServiceAccount": {"it has no pull secret", func(s *sourcev1.OCIRepositorySpec) { s.Provider, s.ServiceAccountName = "gcp", "plain" },
			clouds{login: secret.Login{Username: "robot", Password: "canary-cloud"}}, `gcp for apps/web as "plain" of `, ""},
		"a cloud's token": {"Azure's is one", func(s *sourcev1.OCIRepositorySpec) { s.Provider = "azure" },
			clouds{login: secret.Login{Bearer: "canary-token"}}, `azure for apps/web as "" of `, ""},
		"a docker config beside a cloud": {"it is the object's own", func(s *sourcev1.OCIRepositorySpec) {
			s.Provider, s.SecretRef = "aws", &meta.LocalObjectReference{Name: "own"}
		}, clouds{}, "", ""},
		"pull secrets beside a cloud": {"as in Flux", func(s *sourcev1.OCIRepositorySpec) { s.Provider, s.ServiceAccountName = "aws", "puller" },
			clouds{}, "", ""},
		"both": {"the object's own comes first", func(s *sourcev1.OCIRepositorySpec) {
			s.SecretRef, s.ServiceAccountName = &meta.LocalObjectReference{Name: "own"}, "wrong"
		}, clouds{}, "", ""},
		"a wrong one": {"it names the field", func(s *sourcev1.OCIRepositorySpec) { s.ServiceAccountName = "wrong" },
			clouds{}, "", "does not accept the credentials in spec.serviceAccountName (HTTP 401)"},
		"a cloud's is refused": {"it names the provider", func(s *sourcev1.OCIRepositorySpec) { s.Provider = "aws" },
			clouds{login: secret.Login{Username: "robot", Password: "canary-wrong"}}, "aws", "does not accept the credentials in the identity that spec.provider aws logs in with"},
		"a cloud says no": {"its own words count", func(s *sourcev1.OCIRepositorySpec) { s.Provider, s.ServiceAccountName = "aws", "plain" },
			clouds{err: gate}, "aws", "start source-controller with --feature-gates"},
		"a pull secret that is gone": {"the ServiceAccount names it", func(s *sourcev1.OCIRepositorySpec) { s.ServiceAccountName = "dangling" },
			clouds{}, "", "Secret apps/gone of the imagePullSecrets of spec.serviceAccountName does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg, b := ocitest.New(t), newBench(t, pack.Limits{Bytes: 1 << 20, Files: 100})
			reg.Push(t, "app", "latest", ocitest.Flux(gzipped(t, tarball(t, honest...)), nil))
			switch {
			case tc.clouds.login.Bearer != "":
				reg.Before(tokenOnly(tc.clouds.login.Bearer))
			case tc.clouds.login.Password == "canary-cloud":
				reg.Basic("robot", "canary-cloud")
			default:
				reg.Basic("robot", "canary-password")
			}
			b.Secrets = secret.Reader{Live: fake.NewClientBuilder().WithObjects(objects(reg.Host())...).Build()}
			asked := tc.clouds
			b.Clouds = &asked
			obj := object(reg)
			tc.spec(&obj.Spec)
			out := b.attempt(t.Context(), obj)
			switch {
			case tc.problem == "" && out.Problem != nil, tc.problem != "" && (out.Problem == nil || !strings.Contains(out.Problem.Message, tc.problem)):
				t.Errorf("%s: %v, want %q", tc.reason, out.Problem, tc.problem)
			case tc.problem != "" && strings.Contains(out.Problem.Message, "canary"):
				t.Errorf("a message shows a secret: %v", out.Problem)
			}
			if got := strings.Join(asked.asked, ", "); (got == "") != (tc.asked == "") || !strings.Contains(got, tc.asked) {
				t.Errorf("%s: the cloud was asked %q, want %q", tc.reason, got, tc.asked)
			}
			if tc.clouds.err != nil && !out.Problem.Terminal {
				t.Error("a closed gate is tried again")
			}
		})
	}
}

// objects are what a namespace has: logins that are right and wrong, and ServiceAccounts with and without them.
func objects(host string) []client.Object {
	config := func(name, password string) client.Object {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name}, Data: map[string][]byte{
			corev1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths":{%q:{"username":"robot","password":%q}}}`, host, password),
		}}
	}
	account := func(name string, secrets ...corev1.LocalObjectReference) client.Object {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name}, ImagePullSecrets: secrets}
	}
	return []client.Object{
		config("own", "canary-password"), config("other", "canary-wrong"),
		account("plain"), account("puller", corev1.LocalObjectReference{Name: "own"}),
		account("wrong", corev1.LocalObjectReference{Name: "other"}), account("dangling", corev1.LocalObjectReference{Name: "gone"}),
	}
}

func tokenOnly(token string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "Bearer "+token {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://auth.example.com/token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

// TestMemoriesAreOneObjects: what a registry said to one object is nobody else's, and nothing is kept of one that is gone.
func TestMemoriesAreOneObjects(t *testing.T) {
	t.Parallel()
	var forgotten clouds
	r := &Reconciler{Clouds: &forgotten}
	one, two := &sourcev1.OCIRepository{ObjectMeta: metav1.ObjectMeta{UID: "1", Name: "one"}}, &sourcev1.OCIRepository{ObjectMeta: metav1.ObjectMeta{UID: "2"}}
	first := r.memories.of(one)
	if r.memories.of(one) != first || r.memories.of(two) == first {
		t.Error("memories are mixed up")
	}
	if one.Generation++; r.memories.of(one) == first {
		t.Error("another spec has the memory of the one before")
	}
	if err := r.Remove(t.Context(), one); err != nil || len(r.memories.byUID) != 1 || len(forgotten.asked) != 1 {
		t.Errorf("%d memories are left, the cloud forgot %v (%v)", len(r.memories.byUID), forgotten.asked, err)
	}
}
