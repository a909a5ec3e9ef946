package helmrepo_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

// certificate is a new one, signed by itself, and its key.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// secure starts a server that asks for a certificate, takes anybody, and counts who showed one.
func secure(t *testing.T, answer http.HandlerFunc) (server *httptest.Server, shown *atomic.Int32) {
	t.Helper()
	shown = &atomic.Int32{}
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown.Add(int32(len(r.TLS.PeerCertificates)))
		answer(w, r)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, shown
}

// TestS25CertificatesStayOnTheirHost: our certificate is shown to the repository, and to no other host, unless the object says so; our
// authorities hold everywhere.
func TestS25CertificatesStayOnTheirHost(t *testing.T) {
	t.Parallel()
	other, shownToOther := secure(t, body("chart"))
	own, shownToOwn := secure(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/away.tgz") {
			http.Redirect(w, r, other.URL+"/x.tgz", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "chart")
	})
	plain := httptest.NewServer(body("chart"))
	t.Cleanup(plain.Close)
	cert, key := certificate(t)
	var authorities []byte
	for _, s := range []*httptest.Server{own, other} {
		authorities = append(authorities, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})...)
	}
	ours, err := secret.ParseTLS(map[string][]byte{"ca.crt": authorities, "tls.crt": cert, "tls.key": key})
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(address string, pass bool) error {
		a := helmrepo.Access{URL: own.URL, TLS: ours, TLSField: "spec.certSecretRef", PassCredentials: pass}
		_, err := client().Chart(t.Context(), a, &helmrepo.Version{Name: "x", Version: "1.0.0", URLs: []string{address}}, io.Discard)
		return err
	}
	for _, step := range []struct {
		address    string
		pass       bool
		own, other int32
	}{
		{"x.tgz", false, 1, 0}, {other.URL + "/x.tgz", false, 1, 0}, {"away.tgz", false, 2, 0}, {other.URL + "/x.tgz", true, 2, 1},
	} {
		if err := fetch(step.address, step.pass); err != nil || shownToOwn.Load() != step.own || shownToOther.Load() != step.other {
			t.Errorf("%+v: it was shown %d times at home and %d times elsewhere, %v", step, shownToOwn.Load(), shownToOther.Load(), err)
		}
	}
	// Whoever is not known is not trusted, and a redirect does not give up encryption.
	_, err = client().Index(t.Context(), helmrepo.Access{URL: own.URL}, "", io.Discard)
	if err == nil || !strings.Contains(err.Error(), "unknown authority; put the authority into ca.crt of spec.certSecretRef") {
		t.Errorf("an unknown authority: %v", err)
	}
	down, _ := secure(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) })
	roots, err := secret.ParseTLS(map[string][]byte{"ca.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: down.Certificate().Raw})})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client().Index(t.Context(), helmrepo.Access{URL: down.URL, TLS: roots}, "", io.Discard)
	if err == nil || !strings.Contains(err.Error(), "redirects from https to something else") {
		t.Errorf("a redirect to http: %v", err)
	}
}
