package helmrepo_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

const canary = "canary-of-a-password"

func client() *helmrepo.Client {
	return &helmrepo.Client{Connections: wire.NewPool(), Limits: helmrepo.Limits{Index: 64 << 10, Chart: 64 << 10}}
}

func login() secret.Login { return secret.Login{Username: "ada", Password: canary} }

// serve serves what a function answers, and says which requests came with credentials.
func serve(t *testing.T, answer http.HandlerFunc) (url string, shown func() []string) {
	t.Helper()
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			seen = append(seen, r.URL.Path)
		}
		if r.Header.Get("Referer") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("a request says more than it has to: %v", r.Header)
		}
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []string { return seen }
}

func body(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "canary of a server", code) }
}

// TestIndexIsAskedForOnce: whoever names the index that he has gets no other one if there is none.
func TestIndexIsAskedForOnce(t *testing.T) {
	t.Parallel()
	tag := `"first"`
	requests := 0
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, tag+r.URL.RequestURI())
	})
	var out bytes.Buffer
	first, err := client().Index(t.Context(), helmrepo.Access{URL: url + "/charts/?sig=x"}, "", &out)
	sum := sha256.Sum256(out.Bytes())
	if err != nil || first.Unchanged || first.Tag != tag || first.Digest != "sha256:"+hex.EncodeToString(sum[:]) || first.Size != int64(out.Len()) {
		t.Fatalf("%+v, %v", first, err)
	}
	if !strings.HasSuffix(out.String(), "/charts/index.yaml?sig=x") {
		t.Errorf("asked for %s", out.String())
	}
	out.Reset()
	again, err := client().Index(t.Context(), helmrepo.Access{URL: url}, first.Tag, &out)
	if err != nil || !again.Unchanged || out.Len() > 0 || requests != 2 {
		t.Errorf("%+v, %d bytes, %d requests, %v", again, out.Len(), requests, err)
	}
	tag = `"second"`
	if next, err := client().Index(t.Context(), helmrepo.Access{URL: url}, first.Tag, &out); err != nil || next.Unchanged || next.Tag != tag {
		t.Errorf("%+v, %v", next, err)
	}
}

func TestAnswersInWords(t *testing.T) {
	t.Parallel()
	zeros := func() []byte {
		var out bytes.Buffer
		zw := gzip.NewWriter(&out)
		_, _ = zw.Write(make([]byte, 1<<20))
		_ = zw.Close()
		return out.Bytes()
	}()
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		is     error
		text   string
	}{
		"401":       {status(401), helmrepo.ErrAuthentication, "(HTTP 401); correct those in the Secret of spec.secretRef"},
		"403":       {status(403), helmrepo.ErrAuthentication, "(HTTP 403)"},
		"404":       {status(404), helmrepo.ErrNotFound, "does not have index.yaml (HTTP 404); see whether spec.url is right"},
		"500":       {status(500), nil, "answers HTTP 500"},
		"304":       {status(304), nil, "answers HTTP 304"},
		"F34, loop": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, nil, "redirects more than 5 times"},
		"S-14, without end": {
			func(w http.ResponseWriter, _ *http.Request) {
				for err := error(nil); err == nil; {
					_, err = w.Write(make([]byte, 1<<10))
				}
			}, helmrepo.ErrTooLarge, "more than 65536 bytes; raise --helm-index-max-size",
		},
		"S-12, a bomb": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(zeros)
			}, helmrepo.ErrTooLarge, "more than 65536 bytes",
		},
		"F37, cut off": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(w, "apiVersion: v1\n")
			}, wire.ErrBroken, "closed the connection halfway",
		},
		"F37, cut off in gzip": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(zeros[:len(zeros)-20])
			}, nil, "",
		},
		"F35, hangs": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, wire.ErrTimeout, "did not answer in time"},
		"F35, hangs halfway": {
			func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "apiVersion: v1\n")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}, wire.ErrTimeout, "did not answer in time",
		},
		"to another protocol": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := serve(t, tc.answer)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := client().Index(ctx, helmrepo.Access{URL: url, Login: login(), LoginField: "spec.secretRef"}, "", io.Discard)
			if err == nil || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %q", err, tc.text)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the message shows what it must not: %v", err)
			}
		})
	}
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "30")
		status(429)(w, r)
	})
	var limited *helmrepo.RateLimited
	if _, err := client().Index(t.Context(), helmrepo.Access{URL: url}, "", io.Discard); !errors.As(err, &limited) || limited.After != 30*time.Second {
		t.Errorf("429: %v", err)
	}
	if _, err := client().Index(t.Context(), helmrepo.Access{URL: gone.URL}, "", io.Discard); !errors.Is(err, wire.ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
}

// TestS25CredentialsStayOnTheirHost: whatever an index lists and whoever redirects, no other host sees a login or a certificate;
// unless the object says so.
func TestS25CredentialsStayOnTheirHost(t *testing.T) {
	t.Parallel()
	other, shownToOther := serve(t, body("chart"))
	var own string
	own, shownToOwn := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away.tgz":
			http.Redirect(w, r, other+"/redirected.tgz", http.StatusFound)
		case "/there-and-back.tgz":
			http.Redirect(w, r, "/charts/x.tgz", http.StatusFound)
		default:
			_, _ = io.WriteString(w, "chart")
		}
	})
	upper := strings.Replace(other, "http://", "http://ada:"+canary+"@", 1)
	for name, tc := range map[string]struct {
		address string
		// own and other are the paths that are to come with credentials.
		own, other []string
		pass       bool
	}{
		"relative":           {address: "x.tgz", own: []string{"/charts/x.tgz"}},
		"absolute":           {address: "/x.tgz", own: []string{"/x.tgz"}},
		"the same host":      {address: own + "/y.tgz", own: []string{"/y.tgz"}},
		"another host":       {address: other + "/x.tgz"},
		"another, by a user": {address: upper + "/x.tgz"},
		"no scheme":          {address: strings.TrimPrefix(other, "http:") + "/x.tgz"},
		"a redirect":         {address: "/away.tgz", own: []string{"/away.tgz"}},
		"a redirect at home": {address: "/there-and-back.tgz", own: []string{"/there-and-back.tgz", "/charts/x.tgz"}},
		"they may":           {address: other + "/z.tgz", other: []string{"/z.tgz"}, pass: true},
	} {
		t.Run(name, func(t *testing.T) {
			before, beforeOther := len(shownToOwn()), len(shownToOther())
			a := helmrepo.Access{URL: own + "/charts", Login: login(), PassCredentials: tc.pass}
			v := &helmrepo.Version{Name: "x", Version: "1.0.0", URLs: []string{tc.address}}
			var out bytes.Buffer
			if n, err := client().Chart(t.Context(), a, v, &out); err != nil || out.String() != "chart" || n != 5 {
				t.Fatalf("%q, %d, %v", out.String(), n, err)
			}
			if got := shownToOwn()[before:]; fmt.Sprint(got) != fmt.Sprint(tc.own) {
				t.Errorf("its own host saw credentials for %v, want %v", got, tc.own)
			}
			if got := shownToOther()[beforeOther:]; fmt.Sprint(got) != fmt.Sprint(tc.other) {
				t.Errorf("another host saw credentials for %v, want %v", got, tc.other)
			}
		})
	}
	refusing, _ := serve(t, status(401))
	_, err := client().Chart(t.Context(), helmrepo.Access{URL: own, Login: login()},
		&helmrepo.Version{Name: "x", Version: "1.0.0", URLs: []string{refusing + "/x.tgz"}}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "set spec.passCredentials if it may see them") {
		t.Errorf("a host that wants them: %v", err)
	}
}

// TestS08ChartsHaveTheirDigest: what is downloaded is what the index lists, or refused.
func TestS08ChartsHaveTheirDigest(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, body("chart"))
	sum := sha256.Sum256([]byte("chart"))
	right := hex.EncodeToString(sum[:])
	for name, tc := range map[string]struct {
		digest, address string
		is              error
		text            string
	}{
		"right":             {digest: right},
		"with its name":     {digest: "sha256:" + right},
		"in upper case":     {digest: strings.ToUpper(right)},
		"none":              {},
		"of another kind":   {digest: "d41d8cd98f00b204e9800998ecf8427e"},
		"wrong":             {digest: strings.Repeat("a", 64), is: helmrepo.ErrDigest, text: "write its index anew"},
		"no address":        {address: "-", is: helmrepo.ErrNotFound, text: "lists no address"},
		"no URL":            {address: "http://[", is: helmrepo.ErrNotFound, text: "is not a URL"},
		"another protocol":  {address: "file:///etc/passwd", is: helmrepo.ErrNotFound, text: "neither http nor https"},
		"a registry":        {address: "oci://host/x", is: helmrepo.ErrNotFound, text: "neither http nor https"},
		"larger than taken": {address: "/large", is: helmrepo.ErrTooLarge, text: "raise --helm-chart-max-size"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &helmrepo.Version{Name: "x", Version: "1.0.0", URLs: []string{tc.address}, Digest: tc.digest}
			a := helmrepo.Access{URL: url}
			switch tc.address {
			case "-":
				v.URLs = nil
			case "/large":
				a.URL, _ = serve(t, body(strings.Repeat("x", 64<<10+1)))
			}
			if _, err := client().Chart(t.Context(), a, v, io.Discard); !errors.Is(err, tc.is) || err != nil && !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %v, %q", err, tc.is, tc.text)
			}
		})
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestFullDiskIsNotTheServersFault(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, body("index"))
	if _, err := client().Index(t.Context(), helmrepo.Access{URL: url}, "", full{}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
}
