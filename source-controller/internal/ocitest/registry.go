// Package ocitest is a registry in this process for tests: go-containerregistry's own, counted, with logins, and broken on
// request.
package ocitest

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Media types that tests use.
const (
	// ConfigMediaType and ContentMediaType are those of artifacts that flux push artifact makes.
	ConfigMediaType  = "application/vnd.cncf.flux.config.v1+json"
	ContentMediaType = "application/vnd.cncf.flux.content.v1.tar+gzip"
	// ChartConfigMediaType and ChartMediaType are those of Helm charts.
	ChartConfigMediaType = "application/vnd.cncf.helm.config.v1+json"
	ChartMediaType       = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
)

// Registry is a registry that answers over HTTP, or over TLS.
type Registry struct {
	*httptest.Server
	inner http.Handler

	mu       sync.Mutex
	requests []string
	headers  []http.Header
	before   func(w http.ResponseWriter, r *http.Request) bool
}

// New starts a registry on plain HTTP.
func New(t testing.TB) *Registry {
	r := unstarted(t)
	r.Start()
	return r
}

// NewTLS starts a registry on TLS; change adapts its configuration first, and may be nil.
func NewTLS(t testing.TB, change func(*httptest.Server)) *Registry {
	r := unstarted(t)
	r.Config.ErrorLog = log.New(io.Discard, "", 0) // what clients think of its certificate is what is tested
	if change != nil {
		change(r.Server)
	}
	r.StartTLS()
	return r
}

func unstarted(t testing.TB) *Registry {
	r := &Registry{inner: registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))}
	r.Server = httptest.NewUnstartedServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP implements http.Handler.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	before := r.before
	pushing := req.Header.Get(pushHeader) != ""
	if !pushing && req.URL.Path != TokenPath {
		r.requests = append(r.requests, req.Method+" "+req.URL.Path)
		r.headers = append(r.headers, req.Header.Clone())
	}
	r.mu.Unlock()
	if !pushing && before != nil && before(w, req) {
		return
	}
	r.inner.ServeHTTP(w, req)
}

// Before calls a function with each request, which answers it if it returns true. Nil ends that.
func (r *Registry) Before(f func(w http.ResponseWriter, r *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = f
}

// Requests returns what was asked since the last call, as "HEAD /v2/app/manifests/latest".
func (r *Registry) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.requests
	r.requests = nil
	return out
}

// Headers returns the headers of all requests until now.
func (r *Registry) Headers() []http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.headers
}

// Host is the registry's address.
func (r *Registry) Host() string { return r.Listener.Addr().String() }

// URL is the address of one of its repositories.
func (r *Registry) URL(repo string) string { return "oci://" + r.Host() + "/" + repo }

// Layer is a layer to push.
type Layer struct {
	MediaType string
	Content   []byte
}

// Artifact is what to push; without a config media type it is that of flux push artifact.
type Artifact struct {
	ConfigMediaType string
	Layers          []Layer
	Annotations     map[string]string
}

// Flux is an artifact as flux push artifact makes it: of one layer.
func Flux(content []byte, annotations map[string]string) Artifact {
	return Artifact{Layers: []Layer{{ContentMediaType, content}}, Annotations: annotations}
}

// Chart is an artifact as helm push makes it.
func Chart(tgz []byte) Artifact {
	return Artifact{ConfigMediaType: ChartConfigMediaType, Layers: []Layer{{ChartMediaType, tgz}}}
}

// pushHeader marks requests of tests themselves.
const pushHeader = "X-Pushed-By-A-Test"

type pusher struct{ next http.RoundTripper }

func (p pusher) RoundTrip(req *http.Request) (*http.Response, error) {
	req.Header.Set(pushHeader, "1")
	return p.next.RoundTrip(req)
}

// Image is an artifact as go-containerregistry has it.
func (a Artifact) Image(t testing.TB) v1.Image {
	t.Helper()
	config := a.ConfigMediaType
	if config == "" {
		config = ConfigMediaType
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.MediaType(config))
	for _, l := range a.Layers {
		var err error
		if img, err = mutate.AppendLayers(img, static.NewLayer(l.Content, types.MediaType(l.MediaType))); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.Annotations) == 0 {
		return img
	}
	annotated, ok := mutate.Annotations(img, a.Annotations).(v1.Image)
	if !ok {
		t.Fatal("no image")
	}
	return annotated
}

// Push stores an artifact under a tag, and returns its digest.
func (r *Registry) Push(t testing.TB, repo, tag string, a Artifact) (digest string) {
	t.Helper()
	img := a.Image(t)
	if err := remote.Write(r.tag(t, repo, tag), img, r.pushing()); err != nil {
		t.Fatal(err)
	}
	return digestOf(t, img)
}

// PushIndex stores an index of artifacts, one for each platform such as "linux/amd64".
func (r *Registry) PushIndex(t testing.TB, repo, tag string, platforms map[string]Artifact) (digest string) {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for platform, a := range platforms {
		os, architecture, _ := strings.Cut(platform, "/")
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: a.Image(t), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: os, Architecture: architecture}},
		})
	}
	if err := remote.WriteIndex(r.tag(t, repo, tag), index, r.pushing()); err != nil {
		t.Fatal(err)
	}
	return digestOf(t, index)
}

// PushManifest stores the bytes of a manifest as they are.
func (r *Registry) PushManifest(t testing.TB, repo, tag, mediaType string, manifest []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, fmt.Sprintf("%s/v2/%s/manifests/%s", r.Server.URL, repo, tag), bytes.NewReader(manifest))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	res, err := pusher{r.Client().Transport}.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("push: HTTP %d", res.StatusCode)
	}
}

func (r *Registry) tag(t testing.TB, repo, tag string) name.Tag {
	t.Helper()
	ref, err := name.NewTag(r.Host() + "/" + repo + ":" + tag)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func (r *Registry) pushing() remote.Option {
	return remote.WithTransport(pusher{r.Client().Transport})
}

func digestOf(t testing.TB, what interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	digest, err := what.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}
