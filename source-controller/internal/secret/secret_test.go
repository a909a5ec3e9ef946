package secret_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

// pair is a certificate and its key.
func pair(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ada"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func data(pairs ...string) map[string][]byte {
	out := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = []byte(pairs[i+1])
	}
	return out
}

func TestParse(t *testing.T) {
	cert, key := pair(t)
	_, other := pair(t)
	parseTLS := func(d map[string][]byte) (any, error) { return secret.ParseTLS(d) }
	parseLogin := func(d map[string][]byte) (any, error) { return secret.ParseLogin(d) }
	parseProxy := func(d map[string][]byte) (any, error) { return secret.ParseProxy(d) }
	for name, tc := range map[string]struct {
		parse func(map[string][]byte) (any, error)
		data  map[string][]byte
		want  string
	}{
		"nothing of TLS":          {parseTLS, nil, ""},
		"authority":               {parseTLS, data("ca.crt", string(cert)), ""},
		"authority, older key":    {parseTLS, data("caFile", string(cert)), ""},
		"authority is none":       {parseTLS, data("ca.crt", "canary"), "ca.crt holds no PEM certificate"},
		"certificate":             {parseTLS, data("tls.crt", string(cert), "tls.key", string(key)), ""},
		"certificate, older keys": {parseTLS, data("certFile", string(cert), "keyFile", string(key)), ""},
		"certificate alone":       {parseTLS, data("tls.crt", string(cert)), "tls.crt and tls.key are not a certificate and its key"},
		"key of another":          {parseTLS, data("tls.crt", string(cert), "tls.key", string(other)), "tls.crt and tls.key are not a certificate and its key"},
		"token of two lines":      {parseLogin, data("bearerToken", "can\nary"), "bearerToken has a line end"},
		"token and a line end":    {parseLogin, data("bearerToken", "canary\n"), ""},
		"proxy":                   {parseProxy, data("address", " http://proxy:3128\n", "username", "ada", "password", "canary"), ""},
		"proxy without scheme":    {parseProxy, data("address", "proxy:3128"), "address is not a URL such as http://proxy:3128"},
		"proxy of another kind":   {parseProxy, data("address", "ftp://proxy"), `address has the scheme "ftp"; http, https and socks5 are served`},
		"no proxy":                {parseProxy, nil, "address is not a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.parse(tc.data)
			if (err == nil) != (tc.want == "") || err != nil && !strings.HasPrefix(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if shown := fmt.Sprintf("%v %+v %#v %v", got, got, got, err); strings.Contains(shown, "canary") || strings.Contains(shown, "PrivateKey") {
				t.Errorf("it shows what it holds: %s", shown)
			}
		})
	}
}

func TestTLSConfig(t *testing.T) {
	cert, key := pair(t)
	parsed, err := secret.ParseTLS(map[string][]byte{"ca.crt": cert, "tls.crt": cert, "tls.key": key})
	if err != nil {
		t.Fatal(err)
	}
	if c := parsed.Config(); c.RootCAs == nil || len(c.Certificates) != 1 || parsed.IsZero() || !parsed.HasCertificate() {
		t.Errorf("config: %d certificates, roots %v", len(c.Certificates), c.RootCAs != nil)
	}
	if c := (secret.TLS{}).Config(); c.RootCAs != nil || len(c.Certificates) > 0 || !(secret.TLS{}).IsZero() {
		t.Error("without a Secret, it is not the system's authorities alone")
	}
}

func TestReader(t *testing.T) {
	known := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "git"}, Data: data("a", "canary")}
	for name, tc := range map[string]struct {
		err  error
		name string
		want string
	}{
		"there":     {name: "git"},
		"not there": {name: "absent", want: "Secret apps/absent of spec.secretRef does not exist; create it, or correct the name"},
		"forbidden": {
			name: "git", err: apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "git", nil),
			want: "source-controller may not read Secret apps/git of spec.secretRef; grant it the right to",
		},
		"down": {name: "git", err: context.DeadlineExceeded, want: "Secret apps/git of spec.secretRef cannot be read: the API server does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			live := fake.NewClientBuilder().WithObjects(known).WithInterceptorFuncs(interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
					if tc.err != nil {
						return tc.err
					}
					return c.Get(ctx, key, obj, opts...)
				},
			}).Build()
			got, problem := secret.Reader{Live: live}.Data(t.Context(), "apps", tc.name, "spec.secretRef")
			if tc.want == "" && (problem != nil || string(got["a"]) != "canary") {
				t.Fatalf("got %v, %v", got, problem)
			}
			if tc.want != "" && (problem == nil || problem.Message != tc.want || problem.Reason != "AuthenticationFailed") {
				t.Errorf("got %+v, want %q", problem, tc.want)
			}
		})
	}
}
