package cosign_test

import (
	"context"
	"crypto"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/sluice-gitops/sluice/source-controller/internal/verify/cosign"
)

// repository is a TUF repository with a trusted root in it.
type repository struct {
	server   *httptest.Server
	root     []byte
	requests atomic.Int64
	answer   atomic.Pointer[http.HandlerFunc] // in the repository's place, if set
}

// newRepository signs every role with one key, and serves what a client asks for.
func newRepository(t *testing.T, trusted []byte) *repository {
	t.Helper()
	expires := time.Now().Add(24 * time.Hour)
	key := newKey()
	signer := must(signature.LoadSigner(key, crypto.SHA256))
	first := metadata.Root(expires)
	for _, role := range []string{metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS} {
		if err := first.Signed.AddKey(must(metadata.KeyFromPublicKey(key.Public())), role); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	target := filepath.Join(dir, "trusted_root.json")
	if err := os.WriteFile(target, trusted, 0o600); err != nil {
		t.Fatal(err)
	}
	targets := metadata.Targets(expires)
	info := must(metadata.TargetFile().FromFile(target, "sha256"))
	targets.Signed.Targets["trusted_root.json"] = info
	files := map[string][]byte{
		"1.root.json": sealed(first, signer), "1.targets.json": sealed(targets, signer),
		"1.snapshot.json": sealed(metadata.Snapshot(expires), signer), "timestamp.json": sealed(metadata.Timestamp(expires), signer),
		"targets/" + info.Hashes["sha256"].String() + ".trusted_root.json": trusted,
	}
	r := &repository{root: files["1.root.json"]}
	r.server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		r.requests.Add(1)
		if answer := r.answer.Load(); answer != nil {
			(*answer)(out, in)
			return
		}
		content, ok := files[strings.TrimPrefix(in.URL.Path, "/")]
		if !ok {
			http.NotFound(out, in)
			return
		}
		_, _ = out.Write(content)
	}))
	t.Cleanup(r.server.Close)
	return r
}

// sealed is a role's metadata, signed.
func sealed[T metadata.Roles](m *metadata.Metadata[T], by signature.Signer) []byte {
	must(m.Sign(by))
	return must(m.ToBytes(false))
}

// fails makes a repository answer every request with a status.
func (r *repository) fails(status int) {
	answer := http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { http.Error(out, "TOKEN-IN-THE-ANSWER", status) })
	r.answer.Store(&answer)
}

// TestPublicRoot: what the public instance trusts is fetched once for all, kept for a day, and used for a week when it cannot
// be had anew.
func TestPublicRoot(t *testing.T) {
	t.Setenv("HOME", "/nowhere")
	t.Chdir(t.TempDir())
	i, w := newInstance(t), newWorld(t, true)
	r := newRepository(t, i.trustedRoot(lists{}))
	now := time.Now()
	w.attach(w.artifact, i.bundle(signer{subject: workflow, issuer: issuer}, w.artifact.Ref.DigestStr()))
	trust := cosign.Trust{Public: cosign.NewPublicRoot(cosign.PublicOptions{
		URL: r.server.URL, Root: r.root, Transport: http.DefaultTransport, Clock: func() time.Time { return now },
	})}
	ask := func() (int64, error) {
		before := r.requests.Load()
		_, err := cosign.Verify(t.Context(), w.artifact, trust)
		return r.requests.Load() - before, err
	}
	for _, step := range []struct {
		reason  string
		after   time.Duration
		status  int
		fetched bool
		ok      bool
	}{
		{"the first fetch", 0, 0, true, true},
		{"it is kept", 23 * time.Hour, 0, false, true},
		{"refreshed after a day", 2 * time.Hour, 0, true, true},
		{"what is kept is used while the repository is down", 25 * time.Hour, 503, true, true},
		{"it is not asked again at once", time.Second, 503, false, true},
		{"but a minute later", 2 * time.Minute, 503, true, true},
		{"a week is too long", 6 * 24 * time.Hour, 503, true, false},
	} {
		now = now.Add(step.after)
		if step.status != 0 {
			r.fails(step.status)
		}
		requests, err := ask()
		if (requests > 0) != step.fetched || (err == nil) != step.ok {
			t.Errorf("%s: %d requests, %v", step.reason, requests, err)
		}
	}
	if left := must(os.ReadDir(".")); len(left) > 0 {
		t.Errorf("%v was written", left)
	}
}

// TestS29PublicRootFails: without what the instance trusts nobody is trusted, and the message says what to do.
func TestS29PublicRootFails(t *testing.T) {
	i := newInstance(t)
	for name, c := range map[string]struct {
		reason string
		change func(r *repository, o *cosign.PublicOptions)
		wants  []string
	}{
		"down":    {"an answer that is none", func(r *repository, _ *cosign.PublicOptions) { r.fails(503) }, []string{"status 503"}},
		"nowhere": {"nobody listens", func(_ *repository, o *cosign.PublicOptions) { o.URL = "http://127.0.0.1:1" }, []string{"cannot reach"}},
		"of another": {
			"somebody else's repository, in the place of the one that is known",
			func(_ *repository, o *cosign.PublicOptions) { o.Root = newRepository(t, i.trustedRoot(lists{})).root }, []string{"cannot be verified"},
		},
		"endless": {
			"more than the list may have", func(r *repository, _ *cosign.PublicOptions) {
				answer := http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
					for buffer := make([]byte, 64<<10); in.Context().Err() == nil; {
						if _, err := out.Write(buffer); err != nil {
							return
						}
					}
				})
				r.answer.Store(&answer)
			}, []string{"cannot be verified"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, r := newWorld(t, true), newRepository(t, i.trustedRoot(lists{}))
			o := cosign.PublicOptions{URL: r.server.URL, Root: r.root, Transport: http.DefaultTransport}
			c.change(r, &o)
			trust := cosign.Trust{Public: cosign.NewPublicRoot(o), RootField: "spec.verify.trustedRootSecretRef"}
			w.refused(c.reason, trust, append(c.wants, "cannot fetch what the public Sigstore instance trusts", "trustedRootSecretRef")...)
			before := r.requests.Load()
			w.refused("hundreds of objects do not ask again at once", trust, c.wants...)
			if again := r.requests.Load(); again != before {
				t.Errorf("%d requests more", again-before)
			}
		})
	}
}

// TestPublicRootTimesOut: that an object's own time runs out says nothing to the next one.
func TestPublicRootTimesOut(t *testing.T) {
	i, w := newInstance(t), newWorld(t, true)
	r := newRepository(t, i.trustedRoot(lists{}))
	w.attach(w.artifact, i.bundle(signer{subject: workflow, issuer: issuer}, w.artifact.Ref.DigestStr()))
	trust := cosign.Trust{Public: cosign.NewPublicRoot(cosign.PublicOptions{URL: r.server.URL, Root: r.root, Transport: http.DefaultTransport})}
	past, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err := cosign.Verify(past, w.artifact, trust); err == nil || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("no time: %v", err)
	}
	if _, err := cosign.Verify(t.Context(), w.artifact, trust); err != nil {
		t.Errorf("with time: %v", err)
	}
}
