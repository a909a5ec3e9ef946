package oci_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
	"github.com/sluice-gitops/sluice/source-controller/internal/ocitest"
)

// open opens a repository of a registry over HTTP; change adapts how.
func open(t testing.TB, reg *ocitest.Registry, repo string, change func(*oci.Options)) *oci.Repository {
	t.Helper()
	o := oci.Options{Transport: reg.Client().Transport, Insecure: !strings.HasPrefix(reg.Server.URL, "https")}
	if change != nil {
		change(&o)
	}
	r, err := oci.Open(reg.URL(repo), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pull(t testing.TB, r *oci.Repository, tag string) ([]byte, error) {
	t.Helper()
	digest, err := r.Resolve(t.Context(), tag)
	if err != nil {
		return nil, err
	}
	m, err := r.Manifest(t.Context(), digest)
	if err != nil {
		return nil, err
	}
	body, err := r.Layer(t.Context(), m.Layers[0])
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	return io.ReadAll(body)
}

func TestPull(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *ocitest.Registry{
		"http": ocitest.New,
		"tls":  func(t testing.TB) *ocitest.Registry { return ocitest.NewTLS(t, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			reg := start(t)
			content := bytes.Repeat([]byte("content"), 1000)
			annotations := map[string]string{"org.opencontainers.image.revision": "main@sha1:0123"}
			want := reg.Push(t, "org/app", "v1", ocitest.Flux(content, annotations))
			r := open(t, reg, "org/app", nil)

			digest, err := r.Resolve(t.Context(), "v1")
			if err != nil || digest != want {
				t.Fatalf("resolved %s, %v; pushed %s", digest, err, want)
			}
			m, err := r.Manifest(t.Context(), digest)
			if err != nil {
				t.Fatal(err)
			}
			if m.Digest != want || m.ConfigMediaType != ocitest.ConfigMediaType || len(m.Layers) != 1 ||
				m.Layers[0].MediaType != ocitest.ContentMediaType || m.Layers[0].Size != int64(len(content)) {
				t.Errorf("manifest %+v", m)
			}
			if diff := cmp.Diff(annotations, m.Annotations); diff != "" {
				t.Error(diff)
			}
			got, err := pull(t, r, "v1")
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("pulled %d bytes, %v", len(got), err)
			}
			if r.Received() < int64(len(content)) {
				t.Errorf("received %d bytes", r.Received())
			}
		})
	}
}

// TestPollIsOneRequest: what the registry said about logins is asked once, and a token is used until it ends.
func TestPollIsOneRequest(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		login  func(t *testing.T, reg *ocitest.Registry) *ocitest.TokenServer
		auth   authn.Authenticator
	}{
		"anonymous": {"nothing is to be known", func(*testing.T, *ocitest.Registry) *ocitest.TokenServer { return nil }, nil},
		"basic": {"credentials go along", func(_ *testing.T, reg *ocitest.Registry) *ocitest.TokenServer {
			reg.Basic("robot", "canary-password")
			return nil
		}, &authn.Basic{Username: "robot", Password: "canary-password"}},
		"bearer":               {"the token is kept", bearer("robot", "canary-password"), &authn.Basic{Username: "robot", Password: "canary-password"}},
		"bearer for everybody": {"as Docker Hub and ghcr.io do", bearer("", ""), nil},
		"a token of the user's": {"it is sent as it is", func(_ *testing.T, reg *ocitest.Registry) *ocitest.TokenServer {
			reg.Before(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Authorization") == "Bearer canary-token" {
					return false
				}
				w.Header().Set("WWW-Authenticate", `Bearer realm="https://auth.example.com/token"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			})
			return nil
		}, authn.FromConfig(authn.AuthConfig{RegistryToken: "canary-token"})},
	} {
		t.Run(name, func(t *testing.T) {
			reg := ocitest.New(t)
			reg.Push(t, "app", "latest", ocitest.Flux([]byte("x"), nil))
			tokens := tc.login(t, reg)
			var memory oci.Memory
			poll := func() []string {
				r := open(t, reg, "app", func(o *oci.Options) { o.Auth, o.Memory = tc.auth, &memory })
				if _, err := r.Resolve(t.Context(), "latest"); err != nil {
					t.Fatal(err)
				}
				return reg.Requests()
			}
			if first := poll(); len(first) > 2 {
				t.Errorf("%s: the first poll asked %v", tc.reason, first)
			}
			for range 3 {
				if asked := poll(); !slices.Equal(asked, []string{"HEAD /v2/app/manifests/latest"}) {
					t.Errorf("%s: a poll asked %v", tc.reason, asked)
				}
			}
			if tokens == nil {
				return
			}
			if tokens.Given() != 1 {
				t.Errorf("%s: %d tokens were given", tc.reason, tokens.Given())
			}
			tokens.Revoke()
			if asked := poll(); len(asked) != 2 || tokens.Given() != 2 {
				t.Errorf("a token that ended: asked %v, %d tokens", asked, tokens.Given())
			}
		})
	}
}

func bearer(username, password string) func(*testing.T, *ocitest.Registry) *ocitest.TokenServer {
	return func(t *testing.T, reg *ocitest.Registry) *ocitest.TokenServer {
		tokens := ocitest.NewTokenServer(t, false, username, password)
		reg.Bearer(tokens, "")
		return tokens
	}
}

func TestResolveWithoutHead(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(http.ResponseWriter){
		"not allowed": func(w http.ResponseWriter) { w.WriteHeader(http.StatusMethodNotAllowed) },
		"not found":   func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		"no digest": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusOK)
		},
	} {
		t.Run(name, func(t *testing.T) {
			reg := ocitest.New(t)
			want := reg.Push(t, "app", "latest", ocitest.Flux([]byte("x"), nil))
			reg.Before(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodHead {
					refuse(w)
				}
				return r.Method == http.MethodHead
			})
			var memory oci.Memory
			for i, requests := range []int{3, 1} { // the registry's ping, HEAD and GET; then GET alone
				r := open(t, reg, "app", func(o *oci.Options) { o.Memory = &memory })
				got, err := r.Resolve(t.Context(), "latest")
				if err != nil || got != want {
					t.Errorf("resolved %s, %v", got, err)
				}
				if asked := reg.Requests(); len(asked) != requests {
					t.Errorf("poll %d asked %v", i, asked)
				}
			}
		})
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	amd64 := ocitest.Flux([]byte("amd64"), nil)
	digest := reg.PushIndex(t, "app", "both", map[string]ocitest.Artifact{"linux/arm64": ocitest.Flux([]byte("arm64"), nil), "linux/amd64": amd64})
	reg.PushIndex(t, "app", "none", map[string]ocitest.Artifact{"linux/arm64": amd64})
	r := open(t, reg, "app", nil)
	got, err := pull(t, r, "both")
	if err != nil || string(got) != "amd64" {
		t.Errorf("pulled %q, %v", got, err)
	}
	if m, err := r.Manifest(t.Context(), digest); err != nil || m.Digest != digest {
		t.Errorf("%+v, %v: the digest is that of the index, which a signature is for", m, err)
	}
	if _, err := pull(t, r, "none"); err == nil || !strings.Contains(err.Error(), "none of which is for linux/amd64") {
		t.Error(err)
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	for _, tag := range []string{"v1.0.0", "v1.1.0", "latest"} {
		reg.Push(t, "app", tag, ocitest.Flux([]byte(tag), nil))
	}
	tags, err := open(t, reg, "app", nil).Tags(t.Context())
	slices.Sort(tags)
	if err != nil || !slices.Equal(tags, []string{"latest", "v1.0.0", "v1.1.0"}) {
		t.Errorf("%v, %v", tags, err)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"oci://ghcr.io/org/app":       "ghcr.io/org/app",
		"oci://ghcr.io/org/app/":      "ghcr.io/org/app",
		"oci://host:5000/app":         "host:5000/app",
		"oci://docker.io/org/app":     "index.docker.io/org/app",
		"oci://docker.io/app":         "index.docker.io/library/app",
		"oci://[::1]:5000/app":        "[::1]:5000/app",
		"https://ghcr.io/org/app":     "does not start with oci://",
		"oci://ghcr.io":               "names a host and no repository",
		"oci://ghcr.io/org/app:v1":    "spec.ref.tag",
		"oci://ghcr.io/app@sha256:ab": "spec.ref.digest",
		"oci://u:canary@ghcr.io/app":  "it holds a user",
		"oci://ghcr.io/Org/App":       "lower case",
		"oci://ghcr.io/a?b=c":         "lower case",
		"oci://org/app":               "neither a dot nor a port",
		"oci://":                      "names a host and no repository",
	} {
		repo, err := oci.Parse(url, false)
		got := repo.Name()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || strings.Contains(got, "canary") {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, url := range []string{"oci://ghcr.io/org/app", "oci://h:1/a:t", "oci://h.x/a@sha256:0", "oci://[::1]/a", "oci://u@h.x/a"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		repo, err := oci.Parse(url, false)
		if err != nil {
			return
		}
		again, err := oci.Parse(oci.Scheme+repo.Name(), false)
		if err != nil || again != repo {
			t.Errorf("%q is %q, and that is %q, %v", url, repo.Name(), again.Name(), err)
		}
		if host, _, _ := strings.Cut(strings.TrimPrefix(url, oci.Scheme), "/"); host != repo.RegistryStr() && host != "docker.io" {
			t.Errorf("%q goes to %q", url, repo.RegistryStr())
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	bearer("", "")(t, reg)
	reg.Push(t, "app", "latest", ocitest.Flux([]byte("content"), nil))
	var memory oci.Memory
	r := open(t, reg, "app", func(o *oci.Options) { o.Memory = &memory })
	var wg sync.WaitGroup
	failed := make(chan error, 16)
	for range cap(failed) {
		wg.Go(func() {
			got, err := pull(t, r, "latest")
			if err == nil && string(got) != "content" {
				err = fmt.Errorf("pulled %q", got)
			}
			failed <- err
		})
	}
	wg.Wait()
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}
