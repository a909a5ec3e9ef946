// Package wire is how sources reach servers over HTTP: connections with authorities, certificates and proxies of an object's
// own, bodies that are bounded, and errors in words that hold nothing a server sent.
package wire

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

// Peer is a server, and how it is reached.
type Peer struct {
	// Host is the server as messages show it: its name, and its port if that is not the usual one.
	Host string
	// TLS has the object's own authorities and certificate; TLSField is what names their Secret, such as "spec.certSecretRef".
	TLS      secret.TLS
	TLSField string
	// Proxy is what it is reached through.
	Proxy secret.Proxy
	// Unverified is set when anybody may be the server: connections may then as well not be encrypted.
	Unverified bool
}

// Pool holds the connections to all servers that want nothing of an object's own. It is safe for concurrent use.
type Pool struct {
	shared, unverified *http.Transport
}

// NewPool returns a pool without connections.
func NewPool() *Pool {
	p := &Pool{shared: newTransport(), unverified: newTransport()}
	p.unverified.TLSClientConfig = unverified(&tls.Config{MinVersion: tls.VersionTLS12})
	return p
}

func unverified(c *tls.Config) *tls.Config {
	c.InsecureSkipVerify = true // the object says so, and would take plain HTTP as well
	return c
}

// Transport is what reaches a peer, and what to call when that is over. One for a peer with an authority, a certificate or a
// proxy of an object's own is used by nobody else.
func (p *Pool) Transport(peer Peer) (rt *http.Transport, done func()) {
	switch {
	case !peer.TLS.IsZero() || !peer.Proxy.IsZero():
	case peer.Unverified:
		return p.unverified, func() {}
	default:
		return p.shared, func() {}
	}
	own := newTransport()
	own.TLSClientConfig = peer.TLS.Config()
	if peer.Unverified {
		own.TLSClientConfig = unverified(own.TLSClientConfig)
	}
	if !peer.Proxy.IsZero() {
		own.Proxy = http.ProxyURL(peer.Proxy.URL)
	}
	return own, own.CloseIdleConnections
}

// Transports are what reaches a peer, and what reaches whoever it sends us to: they are not shown a certificate that is for the
// peer.
func (p *Pool) Transports(peer Peer) (own, others *http.Transport, done func()) {
	own, first := p.Transport(peer)
	if !peer.TLS.HasCertificate() {
		return own, own, first
	}
	peer.TLS = peer.TLS.Authorities()
	others, second := p.Transport(peer)
	return own, others, func() { first(); second() }
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    15 * time.Second,
		MaxIdleConns:           128,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}
}
