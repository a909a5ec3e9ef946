package secret

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// TLS is who is trusted to be a server, and who we are to it. The zero value is the system's authorities, and nobody. It
// prints as nothing.
type TLS struct {
	roots       *x509.CertPool
	certificate *tls.Certificate
}

// ParseTLS reads the keys of Kubernetes' TLS Secrets, or those that Flux had before: ca.crt (caFile), an authority beside
// the system's; tls.crt and tls.key (certFile and keyFile), a certificate of ours and its key. All in PEM.
func ParseTLS(data map[string][]byte) (TLS, error) {
	var t TLS
	if authority := either(data, "ca.crt", "caFile"); len(authority) > 0 {
		var err error
		if t.roots, err = x509.SystemCertPool(); err != nil {
			t.roots = x509.NewCertPool()
		}
		if !t.roots.AppendCertsFromPEM(authority) {
			return TLS{}, errors.New("ca.crt holds no PEM certificate")
		}
	}
	cert, key := either(data, "tls.crt", "certFile"), either(data, "tls.key", "keyFile")
	if len(cert) == 0 && len(key) == 0 {
		return t, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return TLS{}, errors.New("tls.crt and tls.key are not a certificate and its key in PEM")
	}
	t.certificate = &pair
	return t, nil
}

func either(data map[string][]byte, key, older string) []byte {
	if value := data[key]; len(value) > 0 {
		return value
	}
	return data[older]
}

// IsZero is set when nothing differs from what everybody has.
func (t TLS) IsZero() bool { return t.roots == nil && t.certificate == nil }

// HasCertificate is set when there is a certificate of ours, which only the host it is for may see.
func (t TLS) HasCertificate() bool { return t.certificate != nil }

// Authorities is who is trusted to be a server, without who we are: for hosts that the certificate is not for.
func (t TLS) Authorities() TLS { return TLS{roots: t.roots} }

// WithoutCertificate is who is trusted, and nobody of ours.
func (t TLS) WithoutCertificate() TLS { return TLS{roots: t.roots} }

// Config is what connections are made with. It is the caller's own.
func (t TLS) Config() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: t.roots}
	if t.certificate != nil {
		c.Certificates = []tls.Certificate{*t.certificate}
	}
	return c
}

// String keeps a key out of whatever prints it.
func (TLS) String() string { return "TLS" }

// GoString keeps a key out of whatever prints it.
func (TLS) GoString() string { return "TLS" }
