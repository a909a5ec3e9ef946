package git_test

import (
	"encoding/pem"
	"errors"
	"net"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

func TestProxyFailuresAreTheProxys(t *testing.T) {
	t.Parallel()
	_, tls := gittest.NewTLS(t)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw})
	for name, tc := range map[string]struct {
		proxy string
		text  string
	}{
		"no such host":     {"http://ada:canary@proxy.invalid:3128", "cannot find the host of the proxy"},
		"nobody listens":   {"http://ada:canary@127.0.0.1:1", "the proxy in spec.proxySecretRef: connection refused"},
		"nobody, SOCKS":    {"socks5://ada:canary@127.0.0.1:1", "the proxy in spec.proxySecretRef: connection refused"},
		"it says too much": {talkative(t), "refuses the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cred, err := git.ParseCredentials("https://example.com/x", map[string][]byte{"ca.crt": authority})
			if err != nil {
				t.Fatal(err)
			}
			cred.Proxy = proxyAt(t, tc.proxy)
			clone, _ := newClone(t)
			_, err = poll(t, clone, tls.URL+"/app.git", &sourcev1.GitRepositoryRef{Branch: "main"}, cred)
			if err == nil || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, tc.text)
			}
		})
	}
}

func proxyAt(t *testing.T, address string) secret.Proxy {
	t.Helper()
	proxy, err := secret.ParseProxy(map[string][]byte{"address": []byte(address)})
	if err != nil {
		t.Fatal(err)
	}
	return proxy
}

// talkative is a proxy that refuses every connection, and repeats what it was sent in its status line.
func talkative(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			_, _ = conn.Write([]byte("HTTP/1.1 407 you sent the canary\r\nContent-Length: 0\r\n\r\n")) // the client may be gone
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	return "http://" + listener.Addr().String()
}
