package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
)

// Errors that a caller tells apart.
var (
	// ErrTimeout: the server did not answer in time.
	ErrTimeout = errors.New("timed out")
	// ErrBroken: what was sent is not whole.
	ErrBroken = errors.New("broken answer")
	// ErrUnreachable: no connection came about.
	ErrUnreachable = errors.New("unreachable")
)

// IsTimeout reports whether err says that time ran out, here or in the network.
func IsTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// Explain turns an error of the network into one for the user, which names the peer and what to do. It quotes nothing that a
// server sent, and nothing that differs from one attempt to the next. nil is for an error that is none of the network's.
func Explain(peer Peer, err error) error {
	var op *net.OpError
	switch {
	case IsTimeout(err):
		return fmt.Errorf("%w: %s did not answer in time", ErrTimeout, peer.Host)
	case errors.As(err, &op) && peer.Proxy.URL != nil && (op.Op == "proxyconnect" || op.Op == "socks connect"):
		return peer.proxy(op)
	}
	if err := peer.certificate(err); err != nil {
		return err
	}
	var dns *net.DNSError
	var request *url.Error
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("%w: cannot find the host %s: %s", ErrUnreachable, peer.Host, unresolved(dns))
	case errors.As(err, &op):
		return fmt.Errorf("%w: cannot reach %s: %s: %w", ErrUnreachable, peer.Host, op.Op, op.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %s closed the connection halfway", ErrBroken, peer.Host)
	case errors.As(err, &request) && peer.Proxy.URL != nil:
		return peer.proxy(err)
	case errors.As(err, &request):
		return fmt.Errorf("%w: cannot reach %s", ErrUnreachable, peer.Host)
	}
	return nil
}

// certificate describes what is wrong with a server's certificate; nil if nothing is.
func (p Peer) certificate(err error) error {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		alert     *net.OpError
	)
	switch {
	case errors.As(err, &authority):
		field := p.TLSField
		if field == "" {
			return fmt.Errorf("the certificate of %s is signed by an unknown authority", p.Host)
		}
		return fmt.Errorf("the certificate of %s is signed by an unknown authority; put the authority into ca.crt of %s", p.Host, field)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the certificate of %s has expired, or is not valid yet", p.Host)
	case errors.As(err, &hostname), errors.As(err, &invalid):
		return fmt.Errorf("the certificate of %s is not valid for it", p.Host)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("%s does not speak TLS on this port", p.Host)
	case errors.As(err, &alert) && alert.Op == "remote error":
		return p.refused()
	}
	return nil
}

// refused is what a TLS alert means: the server did not like what it was shown.
func (p Peer) refused() error {
	if p.TLS.HasCertificate() {
		return fmt.Errorf("%s refuses the certificate in tls.crt of %s", p.Host, p.TLSField)
	}
	return fmt.Errorf("%s refuses the TLS connection; it may want a certificate of ours", p.Host)
}

// proxy describes what keeps a proxy from connecting, of which nothing is quoted: an HTTP proxy words its refusals itself.
func (p Peer) proxy(err error) error {
	var dns *net.DNSError
	var call *os.SyscallError
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("%w: cannot reach %s: cannot find the host of the proxy in spec.proxySecretRef: %s",
			ErrUnreachable, p.Host, unresolved(dns))
	case errors.As(err, &call):
		return fmt.Errorf("%w: cannot reach %s: the proxy in spec.proxySecretRef: %w", ErrUnreachable, p.Host, call.Err)
	}
	return fmt.Errorf("%w: cannot reach %s: the proxy in spec.proxySecretRef refuses the connection, or the credentials%s",
		ErrUnreachable, p.Host, p.Proxy.Padded.Hint("spec.proxySecretRef"))
}

// unresolved says why a name has no address. The resolver's own words may hold the port that it asked from, which is
// another one each time.
func unresolved(err *net.DNSError) string {
	if err.IsNotFound {
		return "no such host"
	}
	return "the name server does not answer"
}
