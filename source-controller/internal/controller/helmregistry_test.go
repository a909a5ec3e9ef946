package controller_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/signtest"
)

// chartRegistry is a registry with charts, which wants a login if it has one.
type chartRegistry struct {
	host string
	mu   sync.Mutex
	// requests are those that were answered well, "GET /v2/charts/demo/tags/list".
	requests []string
	user     string
	password string
}

func newChartRegistry(t *testing.T, user, password string) *chartRegistry {
	t.Helper()
	r := &chartRegistry{user: user, password: password}
	next := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if u, p, _ := req.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="canary"`)
			http.Error(w, "canary of a registry", http.StatusUnauthorized)
			return
		}
		r.mu.Lock()
		if req.URL.Path != "/v2/" {
			r.requests = append(r.requests, req.Method+" "+req.URL.Path)
		}
		r.mu.Unlock()
		next.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// seen are the requests since it was asked last.
func (r *chartRegistry) seen() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.requests = nil }()
	return strings.Join(r.requests, ", ")
}

// push pushes a packaged chart as helm push does.
func (r *chartRegistry) push(t *testing.T, repository, tag string, packaged []byte, layer types.MediaType) name.Digest {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), "application/vnd.cncf.helm.config.v1+json")
	img, err := mutate.AppendLayers(img, static.NewLayer(packaged, layer))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewTag(r.host+"/"+repository+":"+tag, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	transport := &loggedIn{r.user, r.password}
	if err := remote.Write(ref, img, remote.WithTransport(transport), remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	r.seen()
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return ref.Context().Digest(digest.String())
}

// loggedIn logs in to every request.
type loggedIn struct{ user, password string }

func (l *loggedIn) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	if l.user != "" {
		req.SetBasicAuth(l.user, l.password)
	}
	return http.DefaultTransport.RoundTrip(req)
}

func inRegistry(host string) func(*sourcev1.HelmRepository) {
	return func(o *sourcev1.HelmRepository) {
		o.Spec.Type, o.Spec.URL, o.Spec.Insecure = "oci", "oci://"+host+"/charts", true
	}
}

// TestHelmChartFromARegistry: a range is resolved from the tags, a version that is named is not asked for again.
func TestHelmChartFromARegistry(t *testing.T) {
	t.Parallel()
	r := newChartRegistry(t, "", "")
	old, built := packageChart(t, t.TempDir(), "demo", "1.0.0", nil), packageChart(t, t.TempDir(), "demo", "1.1.0+build.1", nil)
	r.push(t, "charts/demo", "1.0.0", old, plan.ChartLayerMediaType)
	r.push(t, "charts/demo", "1.1.0_build.1", built, plan.ChartLayerMediaType)
	r.push(t, "charts/demo", "2.0.0-rc.1", old, plan.ChartLayerMediaType)
	r.push(t, "charts/demo", "latest", old, plan.ChartLayerMediaType)
	source := createRepository(t, "", inRegistry(r.host))
	ranged, exact := createListed(t, source, "demo", "*", nil), createListed(t, source, "demo", "1.0.0", nil)
	until(t, ranged, chartAt(ranged, "1.1.0+build.1"))
	until(t, exact, chartAt(exact, "1.0.0"))
	for obj, want := range map[*sourcev1.HelmChart][]byte{ranged: built, exact: old} {
		if got := get(t, obj.Status.Artifact.URL, http.StatusOK); string(got) != string(want) {
			t.Errorf("%s is not stored as it was pushed", obj.Status.Artifact.Revision)
		}
		if err := hasCondition(obj, "Ready", "True", "ChartPullSucceeded", "pulled 'demo' chart with version '"+obj.Status.Artifact.Revision+"'"); err != nil {
			t.Error(err)
		}
	}
	r.seen()
	request(t, exact)
	if got := r.seen(); got != "" {
		t.Errorf("requests of a poll of a version: %s", got)
	}
	request(t, ranged)
	if got := r.seen(); got != "GET /v2/charts/demo/tags/list" {
		t.Errorf("requests of a poll of a range: %s", got)
	}
	r.push(t, "charts/demo", "1.2.0", packageChart(t, t.TempDir(), "demo", "1.2.0", nil), plan.ChartLayerMediaType)
	request(t, ranged)
	if err := chartAt(ranged, "1.2.0")(); err != nil {
		t.Error(err)
	}
}

func TestHelmChartFromARegistryWithALogin(t *testing.T) {
	t.Parallel()
	const user, password = "ada", "canary-of-a-registry"
	r := newChartRegistry(t, user, password)
	r.push(t, "charts/sub/demo", "1.0.0", packageChart(t, t.TempDir(), "demo", "1.0.0", map[string]string{
		"values.yaml": "a: 1\nb: 1\n", "prod.yaml": "b: 2\n", "broken.yaml": "canary",
	}), plan.ChartLayerMediaType)
	r.push(t, "charts/image", "1.0.0", []byte("canary"), types.OCILayer)
	r.push(t, "charts/none", "1.0.0", []byte("canary"), plan.ChartLayerMediaType)
	config := func(host, password string) map[string]string {
		auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
		return map[string]string{".dockerconfigjson": fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, auth)}
	}
	ns := namespace(t)
	makeSecret(t, ns, "docker", config(r.host, password))
	makeSecret(t, ns, "wrong", config(r.host, "canary"))
	makeSecret(t, ns, "elsewhere", config("other.example.com", "canary"))
	makeSecret(t, ns, "basic", map[string]string{"username": user, "password": password})
	makeSecret(t, ns, "empty", map[string]string{"other": "canary"})
	repositories := map[string]*sourcev1.HelmRepository{}
	for _, name := range []string{"docker", "wrong", "elsewhere", "basic", "empty", "none"} {
		repositories[name] = createRepository(t, "", func(o *sourcev1.HelmRepository) {
			inRegistry(r.host)(o)
			if o.Namespace, o.Name = ns, name; name != "none" {
				o.Spec.SecretRef = ref(name)
			}
		})
	}
	for name, tc := range map[string]struct {
		repository, chart, version string
		values                     []string
		want                       string
		reason, text               string
	}{
		"docker config":          {repository: "docker", chart: "sub/demo", version: "1.0.0", want: "1.0.0"},
		"user and password":      {repository: "basic", chart: "sub/demo", version: ">=1.0.0", want: "1.0.0"},
		"values files":           {repository: "docker", chart: "sub/demo", version: "1.0.0", values: []string{"values.yaml", "prod.yaml"}, want: "1.0.0+1"},
		"its own values":         {repository: "docker", chart: "sub/demo", version: "1.0.0", values: []string{"./values.yaml"}, want: "1.0.0"},
		"no such values file":    {repository: "docker", chart: "sub/demo", version: "1.0.0", values: []string{"test.yaml"}, reason: "ValuesFilesError", text: `"test.yaml" does not exist in the chart`},
		"no mapping":             {repository: "docker", chart: "sub/demo", version: "1.0.0", values: []string{"broken.yaml"}, reason: "ValuesFilesError", text: "is not a YAML mapping"},
		"a wrong login":          {repository: "wrong", chart: "sub/demo", version: "1.0.0", reason: "AuthenticationFailed", text: "spec.secretRef"},
		"a login elsewhere":      {repository: "elsewhere", chart: "sub/demo", version: "1.0.0", reason: "AuthenticationFailed", text: "has none for " + r.host},
		"an empty Secret":        {repository: "empty", chart: "sub/demo", version: "1.0.0", reason: "AuthenticationFailed", text: "neither .dockerconfigjson"},
		"no login":               {repository: "none", chart: "sub/demo", version: "1.0.0", reason: "AuthenticationFailed", text: ""},
		"no such version":        {repository: "docker", chart: "sub/demo", version: "2.x", reason: "ChartPullError", text: "the newest are 1.0.0"},
		"a version that is gone": {repository: "docker", chart: "sub/demo", version: "1.0.1", reason: "ChartPullError", text: `the tag "1.0.1"`},
		"an image":               {repository: "docker", chart: "image", version: "1.0.0", reason: "ChartPullError", text: "is no Helm chart"},
		"no package":             {repository: "docker", chart: "none", version: "1.0.0", reason: "ChartPullError", text: "it is not a packaged chart"},
		"S-06, ..":               {repository: "docker", chart: "../demo", version: "1.0.0", reason: "InvalidChartReference", text: "is not the name of a chart"},
		"S-06, .":                {repository: "docker", chart: ".", version: "1.0.0", reason: "InvalidChartReference", text: "is not the name of a chart"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := createListed(t, repositories[tc.repository], tc.chart, tc.version, func(s *sourcev1.HelmChartSpec) { s.ValuesFiles = tc.values })
			if tc.want != "" {
				until(t, obj, chartAt(obj, tc.want))
				files := download(t, obj.Status.Artifact)
				want := "a: 1\nb: 1\n"
				if strings.Contains(tc.want, "+") {
					want = "a: 1\nb: 2\n"
				}
				if files["demo/values.yaml"] != want {
					t.Errorf("values %q, want %q", files["demo/values.yaml"], want)
				}
				return
			}
			until(t, obj, func() error { return hasCondition(obj, "Ready", "False", tc.reason, tc.text) })
		})
	}
}

// TestSignedCharts: nothing is stored that is not signed by whom spec.verify trusts, and who signed is said.
func TestSignedCharts(t *testing.T) {
	t.Parallel()
	r := newChartRegistry(t, "", "")
	refs := map[string]name.Digest{}
	for _, chart := range []string{"signed", "unsigned"} {
		refs[chart] = r.push(t, "charts/"+chart, "1.0.0", packageChart(t, t.TempDir(), chart, "1.0.0", nil), plan.ChartLayerMediaType)
	}
	key, err := signtest.Bundle(refs["signed"])
	if err != nil {
		t.Fatal(err)
	}
	other, err := signtest.Bundle(refs["unsigned"])
	if err != nil {
		t.Fatal(err)
	}
	source := createRepository(t, "", inRegistry(r.host))
	makeSecret(t, source.Namespace, "right", map[string]string{"cosign.pub": string(key)})
	makeSecret(t, source.Namespace, "wrong", map[string]string{"other.pub": string(other)})
	verify := func(secret string) func(*sourcev1.HelmChartSpec) {
		return func(s *sourcev1.HelmChartSpec) {
			s.Verify = &sourcev1.HelmChartVerification{Provider: "cosign", SecretRef: ref(secret)}
		}
	}
	obj := createListed(t, source, "signed", "1.x", verify("right"))
	until(t, obj, chartAt(obj, "1.0.0"))
	check := func() {
		t.Helper()
		if err := hasCondition(obj, sourcev1.SourceVerifiedCondition, "True", "Succeeded", "verified signature of version 1.0.0 by cosign.pub"); err != nil {
			t.Error(err)
		}
	}
	check()
	r.seen()
	request(t, obj)
	if check(); r.seen() != "GET /v2/charts/signed/tags/list" {
		t.Error("what was found good is asked about again")
	}
	for name, c := range map[string]*sourcev1.HelmChart{
		"by somebody else": createListed(t, source, "signed", "1.0.0", verify("wrong")),
		"by nobody":        createListed(t, source, "unsigned", "1.0.0", verify("right")),
		"with no key":      createListed(t, source, "signed", "1.0.0", verify("absent")),
	} {
		until(t, c, func() error {
			return hasCondition(c, sourcev1.SourceVerifiedCondition, "False", "VerificationError", "without a good signature")
		})
		if c.Status.Artifact != nil || isReady(c) == nil {
			t.Errorf("%s: %+v", name, c.Status)
		}
	}
}
