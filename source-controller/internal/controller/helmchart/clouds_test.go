package helmchart

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// clouds gives out a login, and notes who wanted it where.
type clouds struct{ asked []string }

func (c *clouds) Registry(_ context.Context, provider string, s identity.Subject, repository string) (secret.Login, error) {
	c.asked = append(c.asked, strings.Join([]string{provider, s.Kind, s.Namespace, s.Name, repository}, " "))
	return secret.Login{Username: "cloud", Password: "canary"}, nil
}

// TestCloudExamples: each example that logs in to a cloud does so in the name of its HelmRepository, and the registry gets that login.
func TestCloudExamples(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "cloud" || password != "canary" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"name":"charts/podinfo","tags":["6.0.0","6.1.0","7.0.0"]}`))
	}))
	t.Cleanup(server.Close)
	for _, provider := range []string{"aws", "azure", "gcp"} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			repository, chart := readExample(t, provider)
			given := repository.Spec.URL
			repository.Spec.URL, repository.Spec.Insecure = "oci://"+strings.TrimPrefix(server.URL, "http://")+"/charts", true
			c := &clouds{}
			r := &Reconciler{Connections: wire.NewPool(), Clouds: c, MaxChart: 1 << 20}
			g, problem := r.connect(t.Context(), repository, chart.Spec.Chart, r.memories.of(chart, repository))
			if problem != nil {
				t.Fatal(problem)
			}
			defer g.done()
			if problem := g.choose(t.Context(), chart.Spec.Version); problem != nil || g.tag != "6.1.0" {
				t.Errorf("chose %q, %v", g.tag, problem)
			}
			want := provider + " HelmRepository flux-system oci-" + provider + " " + repository.Spec.URL
			if len(c.asked) != 1 || c.asked[0] != want {
				t.Errorf("asked the cloud for %q, want %q", c.asked, want)
			}
			// The address of the example is one that the cloud knows for its own.
			issuer, err := identity.New(identity.Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = issuer.Registry(canceled(t), provider, identity.Subject{Kind: "HelmRepository"}, given)
			if err == nil || strings.Contains(err.Error(), "spec.url") {
				t.Errorf("%s: %v", given, err)
			}
		})
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func readExample(t *testing.T, provider string) (*sourcev1.HelmRepository, *sourcev1.HelmChart) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "charts", "sluice", "examples", "sources", "helm-oci-"+provider+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	documents := strings.Split(string(text), "\n---\n")
	var repository sourcev1.HelmRepository
	var chart sourcev1.HelmChart
	if len(documents) != 2 {
		t.Fatalf("%d documents", len(documents))
	}
	if err := yaml.UnmarshalStrict([]byte(documents[0]), &repository); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict([]byte(documents[1]), &chart); err != nil {
		t.Fatal(err)
	}
	return &repository, &chart
}
