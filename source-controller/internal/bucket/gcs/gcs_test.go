package gcs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/bucket/gcs"
	"github.com/sluice-gitops/sluice/source-controller/internal/buckettest"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

func options(server *buckettest.GCS) gcs.Options {
	through := func(host string) *bucket.Transport {
		next, _ := wire.NewPool().Transport(wire.Peer{})
		return &bucket.Transport{Next: next, Peer: wire.Peer{Host: host}}
	}
	return gcs.Options{
		Base: server.URL, Bucket: server.Bucket, Kept: &bucket.Kept{},
		Login:     gcs.Login{From: "the Secret of spec.secretRef", Key: server.Key()},
		Transport: through("storage.googleapis.com"), Tokens: through("oauth2.googleapis.com"),
	}
}

func limits() bucket.Limits { return bucket.Limits{Files: 10_000, Bytes: 1 << 20} }

// poll lists as an attempt does.
func poll(ctx context.Context, o gcs.Options, prefix string) (*bucket.Listing, bucket.Service, error) {
	s, err := gcs.Open(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	l, err := bucket.List(ctx, s, bucket.Query{Prefix: prefix, Limits: limits()})
	return l, s, err
}

// TestBucket: pages, prefixes, names that need escaping, checksums, and what is stored compressed and given out unpacked. The
// token is got once for as long as it lasts.
func TestBucket(t *testing.T) {
	t.Parallel()
	server := buckettest.NewGCS(t, "fleet")
	for i := range 2100 {
		server.Set(fmt.Sprintf("many/%04d", i), buckettest.Object{Content: "x"})
	}
	names := []string{"a b+c.yaml", "apps/ü%2F日本.yaml", "apps/packed.yaml"}
	for _, name := range names {
		server.Set(name, buckettest.Object{Content: "content of " + name})
	}
	server.Pack("apps/packed.yaml")
	o := options(server)
	l, _, err := poll(t.Context(), o, "")
	if err != nil || l.Count != 2103 {
		t.Fatalf("%+v, %v", l, err)
	}
	l, s, err := poll(t.Context(), o, "a")
	if err != nil || l.Count != 3 {
		t.Fatalf("%+v, %v", l, err)
	}
	// The prefix does not cover .sourceignore.
	if diff := cmp.Diff(map[string]int{"token": 1, "list": 3 + 2}, server.Take()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	if err := bucket.Fetch(t.Context(), s, l, root, limits(), nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if got, err := root.ReadFile(name); err != nil || string(got) != "content of "+name {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	small := limits()
	small.Bytes = 20
	if err := bucket.Fetch(t.Context(), s, l, root, small, nil); !errors.Is(err, bucket.ErrTooLarge) || !strings.Contains(err.Error(), "--artifact-max-size") {
		t.Errorf("unpacked it is more than is taken: %v", err)
	}
}

// TestF41Tokens: a token is not used past its end, and not after it was refused.
func TestF41Tokens(t *testing.T) {
	t.Parallel()
	server := buckettest.NewGCS(t, "fleet")
	server.Life = time.Minute
	o := options(server)
	for range 2 {
		if _, _, err := poll(t.Context(), o, ""); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.Take()["token"]; got != 2 {
		t.Errorf("%d tokens, want one for each attempt: they end in a minute", got)
	}
	server.Life = time.Hour
	if _, _, err := poll(t.Context(), o, ""); err != nil {
		t.Fatal(err)
	}
	server.Revoke()
	if _, _, err := poll(t.Context(), o, ""); !errors.Is(err, bucket.ErrRefused) || !strings.Contains(err.Error(), "not accepted") {
		t.Errorf("revoked: %v", err)
	}
	if _, _, err := poll(t.Context(), o, ""); err != nil {
		t.Errorf("the attempt after that: %v", err)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	server := buckettest.NewGCS(t, "fleet")
	server.Accept("canary-cloud")
	o := options(server)
	o.Login = gcs.Login{From: "this controller's identity", Cloud: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "canary-cloud"})}
	if _, _, err := poll(t.Context(), o, ""); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	status := func(code int) buckettest.Fault {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				return false
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, `{"error":{"message":"quoted-from-server"}}`)
			return true
		}
	}
	for name, tc := range map[string]struct {
		fault  buckettest.Fault
		change func(*gcs.Options)
		text   string
	}{
		"no such bucket": {change: func(o *gcs.Options) { o.Bucket = "fleets" }, text: "check spec.bucketName"},
		"denied":         {fault: status(403), text: "grant it roles/storage.objectViewer"},
		"slow down":      {fault: status(429), text: "too many requests"},
		"F34 broken":     {fault: status(502), text: "HTTP status 502"},
		"odd":            {fault: status(418), text: "HTTP status 418"},
		"no JSON": {fault: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/token" {
				_, _ = io.WriteString(w, "<html>quoted-from-server")
			}
			return r.URL.Path != "/token"
		}, text: "check spec.endpoint"},
		"key refused": {fault: func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"quoted-from-server"}`)
			return true
		}, text: "does not take the key in the Secret of spec.secretRef"},
		"no token": {fault: func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, "quoted-from-server")
			return true
		}, text: "check token_uri"},
		"S-25 redirect": {fault: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Location", "https://evil.example/x")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}, text: `redirect refused: to the host "evil.example"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := buckettest.NewGCS(t, "fleet")
			server.Fail(tc.fault)
			o := options(server)
			if tc.change != nil {
				tc.change(&o)
			}
			_, _, err := poll(t.Context(), o, "")
			if err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("got %v, want %q", err, tc.text)
			}
			if strings.Contains(err.Error(), "quoted-from-server") || strings.Contains(err.Error(), "canary") {
				t.Errorf("it quotes what it must not: %v", err)
			}
		})
	}
}

func TestChangedObjects(t *testing.T) {
	t.Parallel()
	server := buckettest.NewGCS(t, "fleet")
	server.Set("a", buckettest.Object{Content: "one"})
	l, s, err := poll(t.Context(), options(server), "")
	if err != nil {
		t.Fatal(err)
	}
	server.Set("a", buckettest.Object{Content: "two"})
	if _, err := s.Open(t.Context(), l.Files[0].Object); !errors.Is(err, bucket.ErrChanged) {
		t.Errorf("changed: %v", err)
	}
	server.Delete("a")
	if _, err := s.Open(t.Context(), l.Files[0].Object); !errors.Is(err, bucket.ErrChanged) {
		t.Errorf("deleted: %v", err)
	}
}

// TestKeys: only a service account's own key is taken. Google's other credential files name files to read and commands to run.
func TestKeys(t *testing.T) {
	t.Parallel()
	external, err := json.Marshal(map[string]any{"type": "external_account", "credential_source": map[string]string{"file": "/etc/passwd"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "no JSON": []byte("canary"), "another type": external, "no key": []byte(`{"type":"user"}`),
	} {
		if _, err := gcs.ParseKey(map[string][]byte{"serviceaccount": data}); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	server := buckettest.NewGCS(t, "fleet")
	key, err := gcs.ParseKey(map[string][]byte{"serviceaccount": server.Key()})
	if err != nil || gcs.TokenHost(key) != bucket.HostOf(server.URL) {
		t.Errorf("%v, tokens at %s", err, gcs.TokenHost(key))
	}
	o := options(server)
	o.Login.Key = []byte(`{"type":"service_account","private_key":"canary"}`)
	if _, _, err := poll(t.Context(), o, ""); !errors.Is(err, bucket.ErrRefused) || strings.Contains(err.Error(), "canary") {
		t.Errorf("a key that is none: %v", err)
	}
}
