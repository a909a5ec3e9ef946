package gittest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Authority signs certificates.
type Authority struct {
	// PEM is its own certificate.
	PEM []byte

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority returns one that nobody trusts yet.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{}
	template := certificate("authority", time.Now().Add(time.Hour))
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	var der []byte
	der, a.key = sign(t, template, template, nil)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.PEM = inPEM("CERTIFICATE", der)
	return a
}

// Issue returns a certificate for a name or an address, and its key, in PEM. It is good for servers and for clients.
func (a *Authority) Issue(t testing.TB, name string, ends time.Time) (cert, key []byte) {
	t.Helper()
	template := certificate(name, ends)
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, private := sign(t, template, a.cert, a.key)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return inPEM("CERTIFICATE", der), inPEM("PRIVATE KEY", encoded)
}

// Serve starts a git server with a certificate for a name, which lasts until ends. With clients set it wants one of the
// authority's from its clients.
func (a *Authority) Serve(t testing.TB, name string, ends time.Time, clients bool) *Server {
	t.Helper()
	s := newServer(t)
	s.URL = a.start(t, name, ends, clients, s)
	return s
}

// Handler starts a server with a certificate for a name, and returns its URL. It asks clients for one.
func (a *Authority) Handler(t testing.TB, name string, h http.Handler) string {
	t.Helper()
	return a.start(t, name, time.Now().Add(time.Hour), false, h)
}

func (a *Authority) start(t testing.TB, name string, ends time.Time, clients bool, h http.Handler) string {
	t.Helper()
	pair, err := tls.X509KeyPair(a.Issue(t, name, ends))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert}
	if clients {
		server.TLS.ClientAuth, server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		server.TLS.ClientCAs.AddCert(a.cert)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

func certificate(name string, ends time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: ends.Add(-48 * time.Hour), NotAfter: ends,
	}
}

// sign makes a certificate with a new key; without a parent's key it is signed with its own.
func sign(t testing.TB, template, parent *x509.Certificate, by *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

func inPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
