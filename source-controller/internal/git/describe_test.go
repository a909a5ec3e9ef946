package git

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// TestMessagesAreTheSameEachTime holds that what differs from one attempt to the next, like the port that a name server was
// asked from, is in no message: each message that is another one is news.
func TestMessagesAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	asked := func(port int) error {
		return &net.DNSError{Name: "example.com", Err: fmt.Sprintf("read udp 10.0.0.7:%d->10.96.0.10:53: read: connection refused", port)}
	}
	s := &Session{peer: wire.Peer{Host: "example.com"}, bounded: &bounded{}}
	behind := &Session{peer: wire.Peer{Host: "example.com", Proxy: secret.Proxy{URL: &url.URL{Host: "proxy"}}}, bounded: &bounded{}}
	for name, tc := range map[string]struct {
		session *Session
		err     func(attempt int) error
		want    string
	}{
		"no name server": {s, func(i int) error {
			return &net.OpError{Op: "dial", Err: asked(i)}
		}, "cannot find the host example.com: the name server does not answer"},
		"no such host": {s, func(int) error {
			return &net.DNSError{Err: "no such host", IsNotFound: true}
		}, "cannot find the host example.com: no such host"},
		"no name server for a proxy": {behind, func(i int) error {
			return &net.OpError{Op: "proxyconnect", Err: asked(i)}
		}, "cannot find the host of the proxy in spec.proxySecretRef: the name server does not answer"},
		"expired certificate": {s, func(i int) error {
			return x509.CertificateInvalidError{Reason: x509.Expired, Detail: fmt.Sprintf("now is %d", i)}
		}, "the certificate of example.com has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := tc.session.describe(t.Context(), tc.err(40001)), tc.session.describe(t.Context(), tc.err(40002))
			if first.Error() != second.Error() || !strings.Contains(first.Error(), tc.want) {
				t.Errorf("first %q, then %q, want %q", first, second, tc.want)
			}
		})
	}
}
