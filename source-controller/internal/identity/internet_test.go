package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// internet is everything outside: two proxies, that of the environment and an object's own, behind which each host of the
// clouds is what a test makes of it. TLS is real, with an authority that the system trusts (SSL_CERT_FILE), and so what is
// tested are the addresses, connections and protocols of the real clouds.
type internet struct {
	public  *authority
	environ *url.URL // the proxy of the environment
	object  *url.URL // another one

	mu      sync.Mutex
	hosts   map[string]http.Handler
	signers map[string]*authority
	from    map[string]string // address of a connection to its proxy
	asked   []asked
}

// asked is a request that somebody sent.
type asked struct{ via, method, host, path string }

func (a asked) String() string { return a.via + " " + a.method + " " + a.host + a.path }

var outside *internet

// connect makes the internet the one that this process has.
func connect(dir string) error {
	public, err := newAuthority("public")
	if err != nil {
		return err
	}
	n := &internet{
		public: public, hosts: map[string]http.Handler{}, signers: map[string]*authority{}, from: map[string]string{},
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.answer(w, r, n.viaOf(r.RemoteAddr), r.Host)
	}))
	secure.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return n.signer(hello.ServerName).certificate(hello.ServerName)
	}}
	secure.StartTLS()
	n.environ, n.object = n.proxy("environment", secure.Listener.Addr()), n.proxy("object", secure.Listener.Addr())
	outside = n
	for _, variable := range os.Environ() { // what this machine has of clouds
		name, _, _ := strings.Cut(variable, "=")
		for _, prefix := range []string{"AWS_", "AZURE_", "GOOGLE_", "GCE_", "IDENTITY_", "MSI_", "IMDS_"} {
			if strings.HasPrefix(name, prefix) {
				if err := os.Unsetenv(name); err != nil {
					return err
				}
			}
		}
	}
	bundle := filepath.Join(dir, "ca.pem")
	for name, value := range map[string]string{
		"SSL_CERT_FILE": bundle, "SSL_CERT_DIR": filepath.Join(dir, "none"), "HOME": dir, "AWS_CONFIG_FILE": filepath.Join(dir, "none"),
		"HTTPS_PROXY": n.environ.String(), "HTTP_PROXY": n.environ.String(), "NO_PROXY": "",
		"https_proxy": "", "http_proxy": "", "no_proxy": "",
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return os.WriteFile(bundle, public.pem, 0o600)
}

// proxy is an HTTP proxy that brings every connection to the hosts of a test.
func (n *internet) proxy(name string, secure net.Addr) *url.URL {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			n.answer(w, r, name, r.URL.Host)
			return
		}
		if n.handler(r.URL.Hostname()) == nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		there, err := net.Dial("tcp", secure.String())
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		n.mu.Lock()
		n.from[there.LocalAddr().String()] = name
		n.mu.Unlock()
		here, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			_ = there.Close()
			return
		}
		fmt.Fprint(here, "HTTP/1.1 200 OK\r\n\r\n")
		go pipe(there, buffered, here)
		go pipe(here, there, there)
	}))
	u, err := url.Parse(server.URL)
	if err != nil {
		panic(err)
	}
	return u
}

// pipe brings what comes from one side to the other, and ends both.
func pipe(to net.Conn, from io.Reader, side net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = to.Close(), side.Close()
}

func (n *internet) viaOf(address string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.from[address]
}

func (n *internet) handler(host string) http.Handler {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hosts[host]
}

func (n *internet) signer(host string) *authority {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a := n.signers[host]; a != nil {
		return a
	}
	return n.public
}

func (n *internet) answer(w http.ResponseWriter, r *http.Request, via, host string) {
	n.mu.Lock()
	n.asked = append(n.asked, asked{via, r.Method, host, r.URL.Path})
	n.mu.Unlock()
	h := n.handler(host)
	if h == nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	h.ServeHTTP(w, r)
}

// serve makes a host answer for one test.
func (n *internet) serve(t testing.TB, host string, h http.HandlerFunc) {
	t.Helper()
	n.mu.Lock()
	if n.hosts[host] = h; h == nil {
		delete(n.hosts, host)
	}
	n.mu.Unlock()
	t.Cleanup(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.hosts, host)
		delete(n.signers, host)
		n.asked = nil
	})
}

// private has a host show a certificate of another authority.
func (n *internet) private(t testing.TB, host string) *authority {
	t.Helper()
	a, err := newAuthority("private")
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	n.signers[host] = a
	n.mu.Unlock()
	return a
}

// requests are those to a host, as "proxy method host/path".
func (n *internet) requests(host string) (list []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.asked {
		if a.host == host {
			list = append(list, a.String())
		}
	}
	return list
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

func (a *authority) certificate(host string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", host, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
