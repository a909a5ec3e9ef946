package oci_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
	"github.com/sluice-gitops/sluice/source-controller/internal/ocitest"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// said is what registries of these tests write, and nobody may read.
const said = "canary-what-the-registry-wrote"

func status(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%q}]}`, said)
		return true
	}
}

// only answers requests for some paths.
func only(part string, answer func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		return strings.Contains(r.URL.Path, part) && answer(w, r)
	}
}

// TestBadRegistries: what goes wrong is told in words that name what to do, and quote nothing.
func TestBadRegistries(t *testing.T) {
	t.Parallel()
	login := &authn.Basic{Username: "robot", Password: "canary-password"}
	for name, tc := range map[string]struct {
		reason string
		answer func(http.ResponseWriter, *http.Request) bool
		auth   authn.Authenticator
		is     error
		text   string
		// requests are how many may reach the registry.
		requests int
	}{
		"401 to nobody": {"credentials are missing", status(401), nil, oci.ErrAuthentication, "wants credentials; set spec.secretRef (HTTP 401)", 2},
		"401":           {"they are wrong", status(401), login, oci.ErrAuthentication, "does not accept the credentials in spec.secretRef (HTTP 401)", 2},
		"403":           {"they may not", only("/manifests/", status(403)), login, oci.ErrAuthentication, "may not read app in ", 2},
		"403 to nobody": {"nobody may", only("/manifests/", status(403)), nil, oci.ErrAuthentication, "wants credentials; set spec.secretRef (HTTP 403)", 2},
		"403 at once":   {"a firewall, or a wrong host", status(403), login, oci.ErrAuthentication, "(HTTP 403)", 1},
		"404":           {"a wrong tag or repository", nil, nil, oci.ErrNotFound, `has no app with the tag "gone"`, 3},
		"500":           {"it is broken", only("/manifests/", status(500)), nil, nil, "answers with HTTP 500", 2},
		"503 at once":   {"it is down", status(503), nil, nil, "answers with HTTP 503", 1},
		"closed":        {"it hangs up", only("/manifests/", hangUp), nil, wire.ErrBroken, "", 0},
		"no manifest": {"a web server answers everything", only("/manifests/", func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, "<html>"+said)
			return true
		}), nil, oci.ErrManifest, "is neither an OCI nor a Docker", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(t)
			reg.Before(tc.answer)
			r := open(t, reg, "app", func(o *oci.Options) { o.Auth = tc.auth })
			_, err := pull(t, r, "gone")
			complain(t, tc.reason, err, tc.is, tc.text)
			if asked := reg.Requests(); tc.requests > 0 && len(asked) != tc.requests {
				t.Errorf("%s: asked %v", tc.reason, asked)
			}
		})
	}
}

func complain(t *testing.T, reason string, err, is error, text string) {
	t.Helper()
	if err == nil || is != nil && !errors.Is(err, is) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v; want %v, %q", reason, err, is, text)
	}
	if err != nil && strings.Contains(err.Error(), "canary") {
		t.Errorf("%s: %v quotes the registry, or tells a secret", reason, err)
	}
}

func hangUp(w http.ResponseWriter, _ *http.Request) bool {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
	return true
}

// TestF34RateLimited: a registry that has enough is not asked again before it says.
func TestF34RateLimited(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		retryAfter, date string
		want             time.Duration
	}{
		"seconds":         {"120", "", 2 * time.Minute},
		"a time":          {date.Add(time.Minute).Format(http.TimeFormat), date.Format(http.TimeFormat), time.Minute},
		"a time gone by":  {date.Add(-time.Minute).Format(http.TimeFormat), date.Format(http.TimeFormat), 0},
		"for ever":        {"4294967295", "", 24 * time.Hour},
		"nothing":         {"", "", 0},
		"something":       {said, "", 0},
		"more than there": {"99999999999999999999", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(t)
			reg.Before(only("/manifests/", func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Retry-After", tc.retryAfter)
				if tc.date != "" {
					w.Header().Set("Date", tc.date)
				}
				w.WriteHeader(http.StatusTooManyRequests)
				return true
			}))
			_, err := open(t, reg, "app", nil).Resolve(t.Context(), "latest")
			var limited *oci.RateLimited
			if !errors.As(err, &limited) || limited.After != tc.want || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, %+v; want %s", err, limited, tc.want)
			}
			if asked := reg.Requests(); len(asked) != 2 {
				t.Errorf("asked %v", asked)
			}
		})
	}
}

// TestF34NobodyHurriesARateLimit: whoever asks for a reconcile meanwhile, the registry is left alone; with other credentials it
// may be another matter.
func TestF34NobodyHurriesARateLimit(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	want := reg.Push(t, "app", "latest", ocitest.Flux([]byte("content"), nil))
	reg.Before(only("/manifests/", status(http.StatusTooManyRequests)))
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	memory := oci.Memory{Clock: func() time.Time { return now }}
	resolve := func(auth authn.Authenticator) (string, error) {
		return open(t, reg, "app", func(o *oci.Options) { o.Memory, o.Auth = &memory, auth }).Resolve(t.Context(), "latest")
	}
	for _, left := range []time.Duration{2 * time.Minute, time.Minute, time.Second} {
		now = time.Date(2026, 3, 1, 12, 2, 0, 0, time.UTC).Add(-left)
		_, err := resolve(nil)
		var limited *oci.RateLimited
		if !errors.As(err, &limited) || limited.After != left {
			t.Errorf("with %s left: %v, %+v", left, err, limited)
		}
	}
	if asked := reg.Requests(); len(asked) != 2 {
		t.Errorf("asked %v", asked)
	}
	reg.Before(nil)
	if got, err := resolve(robot); err != nil || got != want {
		t.Errorf("other credentials: %q, %v", got, err)
	}
	now = now.Add(time.Second)
	if got, err := resolve(nil); err != nil || got != want {
		t.Errorf("when it is over: %q, %v", got, err)
	}
}

// TestBadContent: what is sent is what was asked for, or nothing.
func TestBadContent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		answer func(reg *ocitest.Registry) func(http.ResponseWriter, *http.Request) bool
		limits oci.Limits
		is     error
		text   string
	}{
		"another manifest": {"the digest does not fit", manifest(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`,
			"application/vnd.oci.image.manifest.v1+json"), oci.Limits{}, oci.ErrDigest, "sends another manifest than sha256:"},
		"a signed manifest of old": {"of those the digest is not that of the bytes, whatever the header says", manifest(`{"schemaVersion":1}`,
			"application/vnd.docker.distribution.manifest.v1+prettyjws"), oci.Limits{}, oci.ErrDigest, "sends another manifest than sha256:"},
		"a huge manifest": {"S-12", manifest(strings.Repeat(" ", 2000), "application/vnd.oci.image.manifest.v1+json"),
			oci.Limits{Manifest: 1000}, oci.ErrTooLarge, "has more than 1000 bytes, which is a fixed limit"},
		"another layer":   {"the digest does not fit", layer("another"), oci.Limits{}, oci.ErrDigest, "sends something else as the layer sha256:"},
		"a longer layer":  {"it has more than the manifest says", layer("content and more"), oci.Limits{}, oci.ErrDigest, "sends something else"},
		"a shorter layer": {"it ends early", layer("cont"), oci.Limits{}, wire.ErrBroken, ""},
		"a layer cut off": {"the connection does", func(*ocitest.Registry) func(http.ResponseWriter, *http.Request) bool {
			return only("/blobs/", func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Content-Length", "7")
				_, _ = fmt.Fprint(w, "cont")
				return hangUp(w, r)
			})
		}, oci.Limits{}, wire.ErrBroken, ""},
		"a large layer": {"S-12", func(*ocitest.Registry) func(http.ResponseWriter, *http.Request) bool { return nil },
			oci.Limits{Layer: 6}, oci.ErrTooLarge, "has 7 bytes, and 6 are taken; raise --artifact-max-size"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(t)
			reg.Push(t, "app", "latest", ocitest.Flux([]byte("content"), nil))
			reg.Before(tc.answer(reg))
			got, err := pull(t, open(t, reg, "app", func(o *oci.Options) { o.Limits = tc.limits }), "latest")
			complain(t, tc.reason, err, tc.is, tc.text)
			if err == nil {
				t.Errorf("%s: %q was taken", tc.reason, got)
			}
		})
	}
}

// manifest answers a GET with another manifest, which it says is the one.
func manifest(text, mediaType string) func(*ocitest.Registry) func(http.ResponseWriter, *http.Request) bool {
	return func(*ocitest.Registry) func(http.ResponseWriter, *http.Request) bool {
		return only("/manifests/sha256:", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Type", mediaType)
			w.Header().Set("Docker-Content-Digest", r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
			_, _ = fmt.Fprint(w, text)
			return true
		})
	}
}

// layer answers with another blob, of which it does not say how long it is.
func layer(text string) func(*ocitest.Registry) func(http.ResponseWriter, *http.Request) bool {
	return func(*ocitest.Registry) func(http.ResponseWriter, *http.Request) bool {
		return only("/blobs/", func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			_, _ = fmt.Fprint(w, text)
			return true
		})
	}
}

// TestS12EndlessTags: a list of tags ends, or is refused.
func TestS12EndlessTags(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		page   string
		limits oci.Limits
	}{
		"pages without end":       {`{"tags":[]}`, oci.Limits{Pages: 5}},
		"tags without end":        {`{"tags":["` + strings.Repeat(`x","`, 100) + `y"]}`, oci.Limits{Tags: 1000}},
		"a page that is too much": {`{"tags":["` + strings.Repeat(`x","`, 1000) + `y"]}`, oci.Limits{Page: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(t)
			reg.Before(only("/tags/list", func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Link", `</v2/app/tags/list?last=y>; rel="next"`)
				_, _ = fmt.Fprint(w, tc.page)
				return true
			}))
			_, err := open(t, reg, "app", func(o *oci.Options) { o.Limits = tc.limits }).Tags(t.Context())
			complain(t, name, err, oci.ErrTooLarge, "name a tag or a digest in spec.ref")
		})
	}
}

// TestF35HangingRegistry: an attempt ends when its time does, and says so.
func TestF35HangingRegistry(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"/v2/", "/manifests/latest", "/manifests/sha256:", "/blobs/"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(t)
			reg.Push(t, "app", "latest", ocitest.Flux([]byte("content"), nil))
			ctx, cancel := context.WithCancelCause(t.Context())
			asked, end := make(chan struct{}, 10), make(chan struct{})
			defer close(end)
			reg.Before(only(part, func(http.ResponseWriter, *http.Request) bool {
				asked <- struct{}{}
				<-end
				return true
			}))
			timeout, stop := context.WithDeadline(ctx, time.Now().Add(time.Hour))
			defer stop()
			go func() {
				<-asked
				cancel(nil)
			}()
			r := open(t, reg, "app", nil)
			err := func() error {
				digest, err := r.Resolve(timeout, "latest")
				if err != nil {
					return err
				}
				m, err := r.Manifest(timeout, digest)
				if err != nil {
					return err
				}
				_, err = r.Layer(timeout, m.Layers[0])
				return err
			}()
			if err == nil {
				t.Error("a registry that hangs is waited for")
			}
		})
	}
}

// TestF35TimeIsUp: the message says so, whatever the connection says.
func TestF35TimeIsUp(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err := open(t, reg, "app", nil).Resolve(ctx, "latest")
	if !errors.Is(err, wire.ErrTimeout) {
		t.Error(err)
	}
}
