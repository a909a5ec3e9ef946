package identity_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// cluster is a real API server, which issues the tokens of ServiceAccounts.
var cluster client.WithWatch

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Getenv("KUBEBUILDER_ASSETS") == "" {
			fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS must name a folder with kube-apiserver and etcd; run `make test`")
			return 1
		}
		dir, err := os.MkdirTemp("", "identity-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		// Go reads what proxies there are once, and never asks them for the loopback, where the API server is.
		err = errors.Join(connect(dir), metadata.start())
		env := &envtest.Environment{}
		rc, started := env.Start()
		if started == nil {
			defer func() { _ = env.Stop() }()
			cluster, started = client.NewWithWatch(rc, client.Options{})
		}
		if err = errors.Join(err, started); err != nil {
			fmt.Fprintln(os.Stderr, "start test environment:", err)
			return 1
		}
		return m.Run()
	}())
}

// account creates a ServiceAccount in a namespace of the test's own, and returns whom its tokens are for.
func account(t testing.TB, annotations map[string]string) identity.Subject {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := cluster.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "app", Annotations: annotations}}
	if err := cluster.Create(t.Context(), sa); err != nil {
		t.Fatal(err)
	}
	return identity.Subject{Kind: "OCIRepository", Namespace: ns.Name, Name: "podinfo", ServiceAccount: sa.Name}
}

// clock is one that a test moves.
type clock struct{ ahead time.Duration }

func (c *clock) now() time.Time { return time.Now().Add(c.ahead) }

// issuer is one with the gate open, and what a test changes of it.
func issuer(t testing.TB, change func(*identity.Options)) *identity.Issuer {
	t.Helper()
	o := identity.Options{Client: cluster, Live: cluster, ObjectLevel: true, CacheSize: 100, CacheTTL: time.Hour}
	if change != nil {
		change(&o)
	}
	i, err := identity.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// problem is the error as one for the user, which says all that it should.
func problem(t testing.TB, err error, says ...string) *plan.Problem {
	t.Helper()
	var p *plan.Problem
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a problem", err)
	}
	for _, want := range says {
		if !strings.Contains(p.Message, want) {
			t.Errorf("message %q, want %q in it", p.Message, want)
		}
	}
	return p
}

// says holds that the error is a problem, and what it says.
func says(t testing.TB, err error, words ...string) {
	t.Helper()
	_ = problem(t, err, words...)
}

// secrets are what no message may have in it.
var secrets = []string{"eyJ", "CANARY", "X-Amz-", "PRIVATE KEY", "Signature="}

func noSecret(t testing.TB, text string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("%q is in the message %q", s, text)
		}
	}
}
