package wire_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// TestExplain drives real connections into what goes wrong with them.
func TestExplain(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			http.Error(w, "canary of the proxy", http.StatusForbidden)
			return
		}
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = c.Close()
		}
	}))
	t.Cleanup(plain.Close)
	unknown := httptest.NewUnstartedServer(nil)
	unknown.Config.ErrorLog = log.New(io.Discard, "", 0)
	unknown.StartTLS()
	t.Cleanup(unknown.Close)
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hung.Close)
	gone := httptest.NewServer(nil)
	gone.Close()
	through := func(address string) secret.Proxy {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return secret.Proxy{URL: u}
	}
	for name, tc := range map[string]struct {
		url  string
		peer wire.Peer
		want string
		is   error
	}{
		"unknown authority":   {url: unknown.URL, peer: wire.Peer{TLSField: "spec.certSecretRef"}, want: "the certificate of upstream is signed by an unknown authority; put the authority into ca.crt of spec.certSecretRef"},
		"no TLS on this port": {url: strings.Replace(plain.URL, "http:", "https:", 1), want: "upstream does not speak TLS on this port"},
		"closed halfway":      {url: plain.URL, want: "broken answer: upstream closed the connection halfway", is: wire.ErrBroken},
		"nobody listens":      {url: gone.URL, want: "unreachable: cannot reach upstream: dial: connect: connection refused", is: wire.ErrUnreachable},
		"no such host":        {url: "http://upstream.invalid", want: "unreachable: cannot find the host upstream: ", is: wire.ErrUnreachable},
		"hangs":               {url: hung.URL, want: "timed out: upstream did not answer in time", is: wire.ErrTimeout},
		"proxy is down": {
			url: "https://upstream.invalid", peer: wire.Peer{Proxy: through(gone.URL)}, is: wire.ErrUnreachable,
			want: "unreachable: cannot reach upstream: the proxy in spec.proxySecretRef: connection refused",
		},
		"proxy refuses": {
			url: "https://upstream.invalid", peer: wire.Peer{Proxy: through(plain.URL)}, is: wire.ErrUnreachable,
			want: "unreachable: cannot reach upstream: the proxy in spec.proxySecretRef refuses the connection, or the credentials",
		},
		"proxy has no address": {
			url: "https://upstream.invalid", peer: wire.Peer{Proxy: through("http://proxy.invalid:3128")}, is: wire.ErrUnreachable,
			want: "unreachable: cannot reach upstream: cannot find the host of the proxy in spec.proxySecretRef: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.peer.Host = "upstream"
			rt, done := wire.NewPool().Transport(tc.peer)
			defer done()
			ctx, cancel := context.WithCancel(t.Context())
			if name == "hangs" {
				var expired context.CancelFunc
				ctx, expired = context.WithTimeout(ctx, 50*time.Millisecond)
				defer expired()
			}
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, tc.url, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			res, err := (&http.Client{Transport: rt}).Do(req)
			if err == nil {
				_ = res.Body.Close()
				t.Fatalf("it answers %s", res.Status)
			}
			got := wire.Explain(tc.peer, err)
			if got == nil || !strings.HasPrefix(got.Error(), tc.want) || tc.is != nil && !errors.Is(got, tc.is) {
				t.Fatalf("got %v, want %s", got, tc.want)
			}
			if strings.Contains(got.Error(), "canary") || strings.Contains(got.Error(), "127.0.0.1") {
				t.Errorf("it quotes: %v", got)
			}
		})
	}
	if err := wire.Explain(wire.Peer{}, errors.New("a word")); err != nil {
		t.Errorf("what is none of the network's became %v", err)
	}
}

func TestCapped(t *testing.T) {
	t.Parallel()
	errMore := errors.New("more")
	for limit, want := range map[int64]error{9: errMore, 10: nil, 11: nil, 0: errMore} {
		body := wire.Capped(io.NopCloser(strings.NewReader("0123456789")), limit, errMore)
		got, err := io.ReadAll(body)
		if !errors.Is(err, want) || want == nil && err != nil || int64(len(got)) != min(limit, 10) {
			t.Errorf("limit %d: %q, %v, want %v", limit, got, err, want)
		}
	}
}

// TestIdle: a server that sends now and then is waited for, one that stops is not.
func TestIdle(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	stopped := errors.New("stopped")
	body := wire.Idle(r, 50*time.Millisecond, func() { _ = w.CloseWithError(stopped) })
	go func() { _, _ = w.Write([]byte("a")) }()
	if got, err := io.ReadAll(body); string(got) != "a" || !errors.Is(err, stopped) {
		t.Errorf("got %q, %v", got, err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
}
