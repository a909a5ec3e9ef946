package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/bucket/s3"
	"github.com/sluice-gitops/sluice/source-controller/internal/buckettest"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

const secretKey = "canary-secret-key"

var keys = s3.Login{From: "the Secret of spec.secretRef", AccessKey: "ada", SecretKey: secretKey}

func options(server *buckettest.S3, login s3.Login) s3.Options {
	transport, _ := wire.NewPool().Transport(wire.Peer{})
	return s3.Options{
		Endpoint: server.Host(), Bucket: server.Bucket, Insecure: true, Login: login, Kept: &bucket.Kept{},
		Transport: &bucket.Transport{Next: transport, Peer: wire.Peer{Host: "store.example.com"}},
	}
}

func list(ctx context.Context, s bucket.Service, prefix string) ([]string, error) {
	var found []string
	err := s.List(ctx, prefix, func(o bucket.Object) error {
		found = append(found, o.Key)
		return nil
	})
	return found, err
}

func open(t *testing.T, o s3.Options) *s3.Service {
	t.Helper()
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSignedRequests: a server that checks signatures with the secret takes what is asked, whatever the keys look like.
func TestSignedRequests(t *testing.T) {
	t.Parallel()
	server := buckettest.NewS3(t, "fleet")
	server.Allow(buckettest.Keys{Access: "ada", Secret: secretKey})
	names := []string{"a b+c.yaml", "apps/web.yaml", "apps/ü/日本.yaml", "zz%2Fq&x=1;y.yaml"}
	for _, name := range names {
		server.Set(name, buckettest.Object{Content: "content of " + name})
	}
	s := open(t, options(server, keys))
	got, err := list(t.Context(), s, "")
	if err != nil || !slices.Equal(got, names) {
		t.Fatalf("listed %q, %v; want %q", got, err, names)
	}
	for _, name := range names {
		content, err := s.Open(t.Context(), bucket.Object{Key: name, Size: 100})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if data, err := io.ReadAll(content); err != nil || string(data) != "content of "+name {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		_ = content.Close()
	}
	if got, err := list(t.Context(), s, "apps/"); err != nil || len(got) != 2 {
		t.Errorf("with a prefix: %q, %v", got, err)
	}
}

// TestRequests: the region of a bucket is asked for once, and then a listing is a request for each 1000 objects.
func TestRequests(t *testing.T) {
	t.Parallel()
	server := buckettest.NewS3(t, "fleet")
	server.Allow(buckettest.Keys{Access: "ada", Secret: secretKey})
	server.Region = "eu-west-9"
	for i := range 2500 {
		server.Set(fmt.Sprintf("%05d", i), buckettest.Object{})
	}
	o := options(server, keys)
	for _, want := range []map[string]int{{"location": 1, "list": 3}, {"list": 3}, {"list": 3}} {
		if got, err := list(t.Context(), open(t, o), ""); err != nil || len(got) != 2500 {
			t.Fatalf("%d objects, %v", len(got), err)
		}
		if diff := cmp.Diff(want, server.Take()); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	}
	server.Region = "eu-west-10"
	if _, err := list(t.Context(), open(t, o), ""); err == nil || !strings.Contains(err.Error(), "another region") {
		t.Errorf("the bucket has moved: %v", err)
	}
	if got, err := list(t.Context(), open(t, o), ""); err != nil || len(got) != 2500 {
		t.Errorf("after the bucket has moved: %d objects, %v", len(got), err)
	}
}

// TestRefusals: what a server answers is said in words that help, are always the same, and quote nothing.
func TestRefusals(t *testing.T) {
	t.Parallel()
	refuse := func(status int, code string) buckettest.Fault {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "7")
			buckettest.Refuse(w, status, code)
			return true
		}
	}
	for name, tc := range map[string]struct {
		reason string
		login  s3.Login
		fault  buckettest.Fault
		change func(*s3.Options)
		text   string
		is     error
	}{
		"no such bucket": {reason: "a typo", login: keys, change: func(o *s3.Options) { o.Bucket = "fleets" }, text: "check spec.bucketName"},
		"nobody":         {reason: "the bucket is private", text: "set spec.secretRef", is: bucket.ErrRefused},
		"unknown key":    {reason: "it was deleted", login: s3.Login{From: "the Secret of spec.secretRef", AccessKey: "eve", SecretKey: "x"}, text: "those of the Secret of spec.secretRef are wrong", is: bucket.ErrRefused},
		"wrong secret":   {reason: "the signature tells", login: s3.Login{From: "the Secret of spec.secretRef", AccessKey: "ada", SecretKey: "x", Hint: "; HINT"}, text: "no longer valid; HINT", is: bucket.ErrRefused},
		"F41 expired":    {reason: "sessions end", login: keys, fault: refuse(400, "ExpiredToken"), text: "no longer valid", is: bucket.ErrRefused},
		"denied":         {reason: "a policy", login: keys, fault: refuse(403, "AccessDenied"), text: "grant it to list", is: bucket.ErrRefused},
		"slow down":      {reason: "too many requests", login: keys, fault: refuse(503, "SlowDown"), text: "too many requests"},
		"F34 broken":     {reason: "the service is down", login: keys, fault: refuse(500, "InternalError"), text: "HTTP status 500"},
		"teapot":         {reason: "anything else has its status", login: keys, fault: refuse(418, "Teapot"), text: "HTTP status 418"},
		"skewed":         {reason: "signatures have a time", login: keys, fault: refuse(403, "RequestTimeTooSkewed"), text: "clocks"},
		"no S3": {reason: "another server", login: keys, fault: func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, "<html>quoted-from-server")
			return true
		}, text: "check spec.endpoint"},
		"cut": {reason: "half a page is none", login: keys, fault: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "<ListBucketResult>")
			return true
		}, text: "closed the connection halfway", is: wire.ErrBroken},
		"endless": {reason: "an answer is bounded", login: keys, fault: func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, "<ListBucketResult><Name>")
			for range 33 {
				_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
			}
			return true
		}, text: "longer answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := buckettest.NewS3(t, "fleet")
			server.Allow(buckettest.Keys{Access: "ada", Secret: secretKey})
			o := options(server, tc.login)
			o.Region = server.Region
			if tc.change != nil {
				tc.change(&o)
			}
			server.Fail(tc.fault)
			_, err := list(t.Context(), open(t, o), "")
			if err == nil || !strings.Contains(err.Error(), tc.text) || tc.is != nil && !errors.Is(err, tc.is) {
				t.Fatalf("%s: got %v, want %q", tc.reason, err, tc.text)
			}
			if strings.Contains(err.Error(), "quoted-from-server") || strings.Contains(err.Error(), "canary") {
				t.Errorf("it quotes what it must not: %v", err)
			}
			var busy *bucket.BusyError
			if name == "slow down" && (!errors.As(err, &busy) || busy.After != 7*time.Second) {
				t.Errorf("got %#v, want 7 s from Retry-After", err)
			}
			if got := server.Take(); len(got) != 1 || got["list"] != 1 {
				t.Errorf("requests %v, want one: an attempt is not ours to repeat here", got)
			}
		})
	}
}

// TestS25CredentialsStayOnTheirHost: a redirect is not followed, wherever it leads.
func TestS25CredentialsStayOnTheirHost(t *testing.T) {
	t.Parallel()
	other := buckettest.NewS3(t, "fleet")
	server := buckettest.NewS3(t, "fleet")
	for _, status := range []int{301, 302, 303, 307, 308} {
		server.Fail(func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", other.URL+r.URL.RequestURI())
			w.WriteHeader(status)
			return true
		})
		s := open(t, options(server, keys))
		if _, err := list(t.Context(), s, ""); err == nil || !strings.Contains(err.Error(), "redirect refused") {
			t.Errorf("%d: the list: %v", status, err)
		}
		if _, err := s.Open(t.Context(), bucket.Object{Key: "a"}); err == nil || !strings.Contains(err.Error(), "redirect refused") {
			t.Errorf("%d: an object: %v", status, err)
		}
	}
	if got := other.Take(); len(got) > 0 {
		t.Errorf("the other host was asked: %v", got)
	}
}

// TestF35HangingEndpoint: one that takes the connection and says nothing costs the attempt's time, and one that stops
// halfway no longer than an answer may pause.
func TestF35HangingEndpoint(t *testing.T) {
	t.Parallel()
	server := buckettest.NewS3(t, "fleet")
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	wait := func(r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}
	server.Fail(func(_ http.ResponseWriter, r *http.Request) bool {
		wait(r)
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	o := options(server, keys)
	o.Region = server.Region
	if _, err := list(ctx, open(t, o), ""); !errors.Is(err, wire.ErrTimeout) {
		t.Errorf("silence: %v", err)
	}
	server.Fail(func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.WriteString(w, "<ListBucketResult>")
		_ = http.NewResponseController(w).Flush()
		wait(r)
		return true
	})
	o.Transport.Idle = 20 * time.Millisecond
	if _, err := list(t.Context(), open(t, o), ""); !errors.Is(err, wire.ErrTimeout) || !strings.Contains(err.Error(), "stopped sending") {
		t.Errorf("halfway: %v", err)
	}
}

// TestChangedObjects: what is not what was listed is not taken for it.
func TestChangedObjects(t *testing.T) {
	t.Parallel()
	server := buckettest.NewS3(t, "fleet")
	server.Set("a", buckettest.Object{Content: "new"})
	s := open(t, options(server, s3.Login{}))
	for _, o := range []bucket.Object{{Key: "a", ETag: "0123"}, {Key: "gone", ETag: "0123"}} {
		if _, err := s.Open(t.Context(), o); !errors.Is(err, bucket.ErrChanged) {
			t.Errorf("%s: %v", o.Key, err)
		}
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	server := buckettest.NewS3(t, "fleet")
	for endpoint, text := range map[string]string{
		"https://minio.example.com": "spec.endpoint", "minio.example.com/path": "spec.endpoint", "": "spec.endpoint", "a b": "spec.endpoint",
	} {
		o := options(server, s3.Login{})
		o.Endpoint = endpoint
		if _, err := s3.Open(t.Context(), o); !errors.Is(err, s3.ErrEndpoint) || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
	o := options(server, s3.Login{})
	o.Bucket = "Not A Bucket"
	if _, err := s3.Open(t.Context(), o); !errors.Is(err, s3.ErrEndpoint) || !strings.Contains(err.Error(), "spec.bucketName") {
		t.Errorf("%v", err)
	}
}
