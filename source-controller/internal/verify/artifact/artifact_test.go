package artifact_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	fakes "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/artifact"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/signtest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// world is a registry with an artifact, and what is said about it in the cluster.
type world struct {
	t      *testing.T
	ref    name.Digest
	spec   sourcev1.OCIRepositoryVerification
	data   map[string][]byte // of the Secret "trust"
	oci    oci.Options
	after  time.Duration // how long the last problem wants to wait
	answer atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, data: map[string][]byte{}, oci: oci.Options{Transport: http.DefaultTransport, Memory: &oci.Memory{}, Insecure: true}}
	handler := fakes.New(fakes.WithReferrersSupport(true), fakes.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		if answer := w.answer.Load(); answer != nil && (*answer)(out, in) {
			return
		}
		handler.ServeHTTP(out, in)
	}))
	t.Cleanup(server.Close)
	image := must(random.Image(64, 1))
	w.ref = must(name.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/team/app")).Digest(must(image.Digest()).String())
	if err := remote.Write(w.ref, image); err != nil {
		t.Fatal(err)
	}
	return w
}

// answers puts something in the registry's place.
func (w *world) answers(f func(http.ResponseWriter, *http.Request) bool) { w.answer.Store(&f) }

// ask verifies as an OCIRepository does.
func (w *world) ask() (*plan.Verified, *plan.Problem) {
	obj := &sourcev1.OCIRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "team"}, Spec: sourcev1.OCIRepositorySpec{Verify: &w.spec}}
	return w.verifier().Verify(w.t.Context(), artifact.OfRepository(obj, "v1@"+w.ref.DigestStr()), w.ref.Repository, w.ref.DigestStr(), w.oci)
}

func (w *world) verifier() *artifact.Verifier {
	trust := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "trust"}, Data: w.data}
	return &artifact.Verifier{Secrets: secret.Reader{Live: fake.NewClientBuilder().WithObjects(trust).Build()}}
}

func named(name string) *meta.LocalObjectReference { return &meta.LocalObjectReference{Name: name} }

// TestVerify: each provider, for both kinds that ask.
func TestVerify(t *testing.T) {
	for name, c := range map[string]struct {
		sign  func(w *world)
		wants string
	}{
		"cosign 2": {func(w *world) { w.data["cosign.pub"] = must(signtest.Layer(w.ref)) }, "by cosign.pub"},
		"cosign 3": {func(w *world) { w.data["cosign.pub"] = must(signtest.Bundle(w.ref)) }, "by cosign.pub"},
		"notation": {func(w *world) {
			w.spec.Provider = "notation"
			w.data["ca.crt"], w.data["trustpolicy.json"] = must(signtest.Notation(t.Context(), w.ref)), signtest.Policy("strict")
		}, "CN=release"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.spec.SecretRef = named("trust")
			c.sign(w)
			good, problem := w.ask()
			want := "verified signature of revision v1@" + w.ref.DigestStr() + " by "
			if problem != nil || good.Reason != "Succeeded" || !strings.HasPrefix(good.Message, want) || !strings.Contains(good.Message, c.wants) {
				t.Errorf("%+v, %v", good, problem)
			}
			chart := &sourcev1.HelmChart{ObjectMeta: metav1.ObjectMeta{Namespace: "team"}, Spec: sourcev1.HelmChartSpec{
				Verify: &sourcev1.HelmChartVerification{Provider: w.spec.Provider, SecretRef: w.spec.SecretRef},
			}}
			good, problem = w.verifier().Verify(t.Context(), artifact.OfChart(chart, "1.2.3"), w.ref.Repository, w.ref.DigestStr(), w.oci)
			if problem != nil || !strings.HasPrefix(good.Message, "verified signature of version 1.2.3 by ") {
				t.Errorf("chart: %+v, %v", good, problem)
			}
		})
	}
	t.Run("a policy that skips", func(t *testing.T) {
		w := newWorld(t)
		w.spec = sourcev1.OCIRepositoryVerification{Provider: "notation", SecretRef: named("trust")}
		w.data["ca.crt"], w.data["trustpolicy.json"] = must(signtest.Notation(t.Context(), w.ref)), signtest.Policy("skip")
		if good, problem := w.ask(); good != nil || problem != nil {
			t.Errorf("let through, and verified as nothing: %+v, %v", good, problem)
		}
	})
}

// TestS29Refusals: whatever is wrong is a problem of verification, which says where.
func TestS29Refusals(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		spec   sourcev1.OCIRepositoryVerification
		data   map[string][]byte
		wants  []string
	}{
		"unsigned":       {"there is nothing", sourcev1.OCIRepositoryVerification{Provider: "cosign", SecretRef: named("trust")}, map[string][]byte{"a.pub": key}, []string{"revision v1@sha256:", "no cosign signature"}},
		"no Secret":      {"a typo", sourcev1.OCIRepositoryVerification{Provider: "cosign", SecretRef: named("thrust")}, nil, []string{"team/thrust", "spec.verify.secretRef", "does not exist"}},
		"no key":         {"keys are not certificates", sourcev1.OCIRepositoryVerification{Provider: "cosign", SecretRef: named("trust")}, nil, []string{".pub"}},
		"no root":        {"the wrong key of the Secret", sourcev1.OCIRepositoryVerification{Provider: "cosign", TrustedRootSecretRef: named("trust")}, map[string][]byte{"root.json": nil}, []string{"spec.verify.trustedRootSecretRef", "trusted_root.json"}},
		"no root Secret": {"a typo", sourcev1.OCIRepositoryVerification{Provider: "cosign", TrustedRootSecretRef: named("thrust")}, nil, []string{"team/thrust", "spec.verify.trustedRootSecretRef"}},
		"broken root":    {"no JSON", sourcev1.OCIRepositoryVerification{Provider: "cosign", TrustedRootSecretRef: named("trust")}, map[string][]byte{"trusted_root.json": []byte("x")}, []string{"trusted_root.json", "no trusted root"}},
		"no policy":      {"notation has none by default", sourcev1.OCIRepositoryVerification{Provider: "notation", SecretRef: named("trust")}, map[string][]byte{"ca.crt": nil}, []string{"trustpolicy.json"}},
		"notation alone": {"notation is never keyless", sourcev1.OCIRepositoryVerification{Provider: "notation"}, nil, []string{"spec.verify.secretRef is missing"}},
		"unknown":        {"from the future", sourcev1.OCIRepositoryVerification{Provider: "wax"}, nil, []string{"spec.verify.provider", "wax"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.spec, w.data = c.spec, c.data
			w.refused(c.reason, c.wants...)
		})
	}
}

// refused asks, and wants a problem with some words.
func (w *world) refused(reason string, wants ...string) {
	w.t.Helper()
	good, problem := w.ask()
	if problem == nil || good != nil {
		w.t.Fatalf("%s: taken, %+v", reason, good)
	}
	if problem.Condition != sourcev1.SourceVerifiedCondition || problem.Reason != sourcev1.VerificationError {
		w.t.Errorf("%s: %s, %s", reason, problem.Condition, problem.Reason)
	}
	for _, want := range wants {
		if !strings.Contains(problem.Message, want) {
			w.t.Errorf("%s: the message does not say %q: %s", reason, want, problem.Message)
		}
	}
	w.t.Log(problem.Message)
	w.after = problem.After
}

var key = []byte(`-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwr
kBbmLSGtks4L3qX6yYY0zufBnhC8Ur/iy55GhWP/9A/bY2LhC30M9+RYtw==
-----END PUBLIC KEY-----
`)

// TestS25LoginOfTheRepository: signatures are read with the login of the repository, through the token server that its registry
// names, and with the same words when it is refused.
func TestS25LoginOfTheRepository(t *testing.T) {
	for name, sign := range map[string]func(w *world){
		"cosign": func(w *world) { w.data["cosign.pub"] = must(signtest.Bundle(w.ref)) },
		"notation": func(w *world) {
			w.spec.Provider = "notation"
			w.data["ca.crt"], w.data["trustpolicy.json"] = must(signtest.Notation(t.Context(), w.ref)), signtest.Policy("strict")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.spec.SecretRef = named("trust")
			sign(w)
			w.answers(func(out http.ResponseWriter, in *http.Request) bool {
				if user, password, _ := in.BasicAuth(); user == "robot" && password == "secret" {
					return false
				}
				out.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
				out.WriteHeader(http.StatusUnauthorized)
				return true
			})
			w.refused("nobody", "status 401")
			w.oci.Auth = &authn.Basic{Username: "robot", Password: "wrong"}
			w.refused("somebody else", "status 401")
			w.oci.Auth = &authn.Basic{Username: "robot", Password: "secret"}
			if good, problem := w.ask(); problem != nil || good == nil {
				t.Errorf("with the login: %+v, %v", good, problem)
			}
		})
	}
}

// TestS29RegistryFails: a registry that limits is left alone for as long as it wants; one that is down is a problem, too.
func TestS29RegistryFails(t *testing.T) {
	for name, sign := range map[string]func(w *world){
		"cosign": func(w *world) { w.data["cosign.pub"] = must(signtest.Bundle(w.ref)) },
		"notation": func(w *world) {
			w.spec.Provider = "notation"
			w.data["ca.crt"], w.data["trustpolicy.json"] = must(signtest.Notation(t.Context(), w.ref)), signtest.Policy("strict")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.spec.SecretRef = named("trust")
			sign(w)
			for path, asked := range map[string]string{"/referrers/": "the list", "/blobs/": "a signature"} {
				status, after := http.StatusTooManyRequests, "120"
				w.oci.Memory = &oci.Memory{}
				w.answers(func(out http.ResponseWriter, in *http.Request) bool {
					if !strings.Contains(in.URL.Path, path) {
						return false
					}
					out.Header().Set("Retry-After", after)
					out.WriteHeader(status)
					return true
				})
				if w.refused(asked+", too often", "limits how often it is asked"); w.after != 2*time.Minute {
					t.Errorf("after %s", w.after)
				}
				w.oci.Memory, status = &oci.Memory{}, http.StatusBadGateway
				w.refused(asked+", down", "status 502")
				w.answers(func(out http.ResponseWriter, in *http.Request) bool {
					if !strings.Contains(in.URL.Path, path) {
						return false
					}
					conn, _, err := http.NewResponseController(out).Hijack()
					if err == nil {
						_ = conn.Close()
					}
					return true
				})
				w.refused(asked+", broken off", "closed the connection")
			}
		})
	}
}
