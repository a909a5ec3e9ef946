package controller_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/ocitest"
)

// TestF41OCICredentials: what is wrong with them is said once, with the field; a Secret that is put right is read again, and
// what is there counts, whether it is the object's own or its ServiceAccount's.
func TestF41OCICredentials(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		login func(t *testing.T, reg *ocitest.Registry)
		field string
	}{
		"basic, of spec.secretRef": {func(_ *testing.T, reg *ocitest.Registry) { reg.Basic("robot", "canary-password") }, "spec.secretRef"},
		"bearer, of spec.secretRef": {func(t *testing.T, reg *ocitest.Registry) {
			reg.Bearer(ocitest.NewTokenServer(t, false, "robot", "canary-password"), "")
		}, "spec.secretRef"},
		"basic, of the ServiceAccount's pull secrets": {func(_ *testing.T, reg *ocitest.Registry) { reg.Basic("robot", "canary-password") }, "spec.serviceAccountName"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(t)
			digest := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 1\n"}, nil))
			tc.login(t, reg)
			obj := createOCI(t, reg, nil)
			failed := func(text string) func() error {
				return func() error {
					return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, sourcev1.AuthenticationFailedReason, text)
				}
			}
			until(t, obj, failed("wants credentials; set spec.secretRef (HTTP 401)"))

			editOCI(t, obj, func(s *sourcev1.OCIRepositorySpec) {
				if tc.field == "spec.secretRef" {
					s.SecretRef = &meta.LocalObjectReference{Name: "login"}
				} else {
					s.ServiceAccountName = "puller"
				}
			})
			if tc.field == "spec.serviceAccountName" {
				until(t, obj, failed("ServiceAccount "+obj.Namespace+"/puller of spec.serviceAccountName does not exist"))
				err := shared.Create(t.Context(), &corev1.ServiceAccount{
					ObjectMeta:       metav1.ObjectMeta{Namespace: obj.Namespace, Name: "puller"},
					ImagePullSecrets: []corev1.LocalObjectReference{{Name: "login"}},
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			until(t, obj, failed("Secret "+obj.Namespace+"/login of "))
			ociSecret(t, obj.Namespace, "login", corev1.SecretTypeDockerConfigJson, dockerConfig("other.example.com", "robot", "canary-password"))
			until(t, obj, failed("has none for "+reg.Host()))
			for _, step := range []struct{ password, text string }{
				{"canary-wrong", "does not accept the credentials in " + tc.field + " (HTTP 401)"},
				{"canary-password", ""},
			} {
				if err := replaceSecret(t.Context(), obj.Namespace, "login", dockerConfig(reg.Host(), "robot", step.password)); err != nil {
					t.Fatal(err)
				}
				if step.text != "" {
					until(t, obj, failed(step.text))
				}
			}
			until(t, obj, ociAt(obj, "latest@"+digest))
		})
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// TestOCICertificates: an authority of the object's own, and a certificate that the registry asks for.
func TestOCICertificates(t *testing.T) {
	t.Parallel()
	certificate, key, pool := clientCertificate(t)
	reg := ocitest.NewTLS(t, func(s *httptest.Server) {
		s.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, MinVersion: tls.VersionTLS12}
	})
	var shown atomic.Int64
	elsewhere := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		shown.Add(int64(len(r.TLS.PeerCertificates)))
	}))
	elsewhere.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	elsewhere.StartTLS()
	t.Cleanup(elsewhere.Close)

	digest := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 1\n"}, nil))
	var redirect atomic.Bool
	reg.Before(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case len(r.TLS.PeerCertificates) == 0:
			w.WriteHeader(http.StatusForbidden)
			return true
		case redirect.Load() && strings.Contains(r.URL.Path, "/blobs/"):
			http.Redirect(w, r, elsewhere.URL+"/blob", http.StatusTemporaryRedirect)
			return true
		}
		return false
	})
	obj := createOCI(t, reg, func(o *sourcev1.OCIRepository) { o.Spec.Insecure = false })
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, sourcev1.OCIPullFailedReason,
			"is signed by an unknown authority; put the authority into ca.crt of spec.certSecretRef")
	})
	authority := pemOf("CERTIFICATE", reg.Certificate().Raw)
	ociSecret(t, obj.Namespace, "tls", corev1.SecretTypeOpaque, map[string][]byte{"ca.crt": authority})
	editOCI(t, obj, func(s *sourcev1.OCIRepositorySpec) { s.CertSecretRef = &meta.LocalObjectReference{Name: "tls"} })
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, sourcev1.AuthenticationFailedReason, "(HTTP 403)")
	})
	err := replaceSecret(t.Context(), obj.Namespace, "tls", map[string][]byte{"ca.crt": authority, "tls.crt": certificate, "tls.key": key})
	if err != nil {
		t.Fatal(err)
	}
	until(t, obj, ociAt(obj, "latest@"+digest))

	// S-25: the certificate is for the registry and for nobody that it redirects to.
	redirect.Store(true)
	reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 2\n"}, nil))
	request(t, obj)
	if err := hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, sourcev1.OCILayerOperationFailedReason, "closed the connection halfway"); err != nil {
		t.Error(err)
	}
	if n := shown.Load(); n > 0 {
		t.Errorf("another host was shown %d certificates", n)
	}
}

// TestOCIInsecure: as in Flux that takes plain HTTP, and a certificate that nobody vouches for.
func TestOCIInsecure(t *testing.T) {
	t.Parallel()
	reg := ocitest.NewTLS(t, nil)
	digest := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 1\n"}, nil))
	obj := createOCI(t, reg, nil)
	until(t, obj, ociAt(obj, "latest@"+digest))
	plain := ocitest.New(t)
	plain.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 1\n"}, nil))
	editOCI(t, obj, func(s *sourcev1.OCIRepositorySpec) { s.Insecure, s.URL = false, plain.URL("app") })
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, sourcev1.OCIPullFailedReason, "set spec.insecure to allow that")
	})
}

// TestOCIProxy: everything goes through the object's proxy, and nothing else does.
func TestOCIProxy(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	digest := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 1\n"}, nil))
	var asked, refused atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "Basic dTpjYW5hcnktcHJveHk=" {
			refused.Add(1)
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if r.Method == http.MethodConnect { // there is no TLS behind it
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		asked.Add(1)
		out := r.Clone(r.Context())
		out.RequestURI, out.URL.Host = "", reg.Host()
		out.Header.Del("Proxy-Authorization")
		res, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = res.Body.Close() }()
		for key, values := range res.Header {
			w.Header()[key] = values
		}
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	}))
	t.Cleanup(proxy.Close)
	obj := createOCI(t, reg, func(o *sourcev1.OCIRepository) {
		o.Spec.URL = "oci://registry.invalid:5000/app" // which the proxy alone knows
		o.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"}
	})
	ociSecret(t, obj.Namespace, "proxy", corev1.SecretTypeOpaque,
		map[string][]byte{"address": []byte(proxy.URL), "username": []byte("u"), "password": []byte("canary-wrong")})
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "", "registry.invalid:5000")
	})
	err := replaceSecret(t.Context(), obj.Namespace, "proxy",
		map[string][]byte{"address": []byte(proxy.URL), "username": []byte("u"), "password": []byte("canary-proxy")})
	if err != nil {
		t.Fatal(err)
	}
	until(t, obj, ociAt(obj, "latest@"+digest))
	if asked.Load() == 0 || refused.Load() == 0 {
		t.Errorf("the proxy was asked %d times, and refused %d", asked.Load(), refused.Load())
	}
}

// TestS20OCISecretsAreShownNowhere: what is in Secrets and in addresses gets into no message. At the end of all tests, the log,
// all statuses, events and metrics are searched for it, too.
func TestS20OCISecretsAreShownNowhere(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	for name, data := range map[string]map[string][]byte{
		"no-json":  {corev1.DockerConfigJsonKey: []byte(`{"auths":{"a.io":{"auth":"canary"}}}`)},
		"no-key":   {"password": []byte("canary")},
		"no-login": {corev1.DockerConfigJsonKey: []byte(`{"auths":{"canary.io":{"username":"canary","password":"canary"}}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg.Basic("robot", "canary-password")
			obj := createOCI(t, reg, func(o *sourcev1.OCIRepository) { o.Spec.SecretRef = &meta.LocalObjectReference{Name: "login"} })
			ociSecret(t, obj.Namespace, "login", corev1.SecretTypeOpaque, data)
			until(t, obj, func() error {
				err := hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, sourcev1.AuthenticationFailedReason, "spec.secretRef")
				if err == nil && strings.Contains(obj.Status.Conditions[0].Message, "does not exist") {
					err = fmt.Errorf("the Secret was not read yet")
				}
				return err
			})
			if text := fmt.Sprint(obj.Status); strings.Contains(text, "canary") {
				t.Error(text)
			}
		})
	}
}

// clientCertificate is a certificate for clients and its key in PEM, and who vouches for it.
func clientCertificate(t *testing.T) (certificate, key []byte, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", secret), pool
}
