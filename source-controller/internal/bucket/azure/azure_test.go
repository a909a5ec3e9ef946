package azure_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/bucket/azure"
	"github.com/sluice-gitops/sluice/source-controller/internal/buckettest"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

func options(t *testing.T, server *buckettest.Azure, data map[string]string) azure.Options {
	t.Helper()
	trust, err := secret.ParseTLS(map[string][]byte{"ca.crt": server.CA()})
	if err != nil {
		t.Fatal(err)
	}
	through := func(host string) *bucket.Transport {
		next, done := wire.NewPool().Transport(wire.Peer{TLS: trust})
		t.Cleanup(done)
		return &bucket.Transport{Next: next, Peer: wire.Peer{Host: host, TLS: trust}}
	}
	values := map[string][]byte{}
	for key, value := range data {
		values[key] = []byte(value)
	}
	login, err := azure.ParseLogin(values)
	if err != nil {
		t.Fatal(err)
	}
	login.From = "the Secret of spec.secretRef"
	endpoint, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return azure.Options{
		Endpoint: endpoint, Container: server.Container, Login: login, Kept: &bucket.Kept{},
		Transport: through("account.blob.core.windows.net"), Tokens: through("login.microsoftonline.com"),
	}
}

func limits() bucket.Limits { return bucket.Limits{Files: 10_000, Bytes: 1 << 20} }

func poll(ctx context.Context, o azure.Options) (*bucket.Listing, bucket.Service, error) {
	s, err := azure.Open(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	l, err := bucket.List(ctx, s, bucket.Query{Limits: limits()})
	return l, s, err
}

// TestLogins: every kind of Secret that Flux knows, against what Azure checks of it; a token is got once for as long as it lasts.
func TestLogins(t *testing.T) {
	t.Parallel()
	server := buckettest.NewAzure(t, "fleet")
	for name, tc := range map[string]struct {
		data map[string]string
		want map[string]int
	}{
		"account key": {map[string]string{"accountKey": server.AccountKey}, map[string]int{"list": 2}},
		"SAS":         {map[string]string{"sasKey": "?sv=2026-01-01&sig=" + url.QueryEscape(server.Signature)}, map[string]int{"list": 2}},
		"application": {
			map[string]string{"tenantId": "t", "clientId": "c", "clientSecret": server.Secret, "authorityHost": server.Authority()},
			map[string]int{"list": 2, "token": 1, "configuration": 1},
		},
		"certificate": {
			map[string]string{"tenantId": "t", "clientId": "c", "clientCertificate": certificate(t), "authorityHost": server.Authority()},
			map[string]int{"list": 2, "token": 1, "configuration": 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server.Take()
			o := options(t, server, tc.data)
			for range 2 {
				if _, _, err := poll(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tc.want, server.Take()); diff != "" {
				t.Errorf("requests of two polls (-want +got):\n%s", diff)
			}
		})
	}
}

func certificate(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for kind, block := range map[string][]byte{"CERTIFICATE": cert, "PRIVATE KEY": der} {
		if err := pem.Encode(&text, &pem.Block{Type: kind, Bytes: block}); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

// TestBucket: pages, names that need escaping, and the revision, whose ETags have the quotes that they have in headers.
func TestBucket(t *testing.T) {
	t.Parallel()
	server := buckettest.NewAzure(t, "fleet")
	server.Set("a b+c.yaml", buckettest.Object{Content: "a", ETag: "0123456789abcdef"})
	server.Set("apps/ü%2F日本.yaml", buckettest.Object{Content: "b", ETag: "fedcba9876543210"})
	l, s, err := poll(t.Context(), options(t, server, map[string]string{"accountKey": server.AccountKey}))
	if err != nil {
		t.Fatal(err)
	}
	// printf 'a b+c.yaml "0x0123456789ABCDE"\napps/ü%%2F日本.yaml "0xFEDCBA987654321"\n' | sha256sum
	if want := "sha256:4d364cf3075bb5885704d44958e6065d738b2e586db317d5e96bd5dee3ffc0f9"; l.Revision != want {
		t.Errorf("revision %s, want %s", l.Revision, want)
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	if err := bucket.Fetch(t.Context(), s, l, root, limits(), nil); err != nil {
		t.Fatal(err)
	}
	if got, err := root.ReadFile("apps/ü%2F日本.yaml"); err != nil || string(got) != "b" {
		t.Errorf("%q, %v", got, err)
	}
	server.Set("a b+c.yaml", buckettest.Object{Content: "other"})
	if _, err := s.Open(t.Context(), l.Files[0].Object); !errors.Is(err, bucket.ErrChanged) {
		t.Errorf("changed: %v", err)
	}
	for i := range 5001 {
		server.Set(fmt.Sprintf("many/%04d", i), buckettest.Object{Content: "x"})
	}
	server.Take()
	if l, _, err := poll(t.Context(), options(t, server, map[string]string{"accountKey": server.AccountKey})); err != nil || l.Count != 5003 || server.Take()["list"] != 2 {
		t.Errorf("two pages: %v", err)
	}
}

// TestS20NothingSecretIsSaid: what is refused is said without the signature in the address, the secret, or the server's words.
func TestS20NothingSecretIsSaid(t *testing.T) {
	t.Parallel()
	status := func(code int, name string) buckettest.Fault {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("x-ms-error-code", name)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "quoted-from-server")
			return true
		}
	}
	const signature = "sv=1&sig=canary-signature"
	for name, tc := range map[string]struct {
		data   map[string]string
		fault  buckettest.Fault
		change func(*azure.Options)
		text   string
	}{
		"wrong signature": {data: map[string]string{"sasKey": signature}, text: "those of the Secret of spec.secretRef are wrong"},
		"expired":         {data: map[string]string{"sasKey": signature}, fault: status(403, "AuthenticationFailed"), text: "no longer valid"},
		"denied":          {data: map[string]string{"sasKey": signature}, fault: status(403, "AuthorizationPermissionMismatch"), text: "grant it"},
		"wrong key":       {data: map[string]string{"accountKey": "Y2FuYXJ5"}, text: "those of the Secret of spec.secretRef are wrong"},
		"no key":          {data: map[string]string{"accountKey": "canary!"}, text: "not in base64"},
		"no container":    {data: map[string]string{"accountKey": "SERVER"}, change: func(o *azure.Options) { o.Container = "fleets" }, text: "check spec.bucketName"},
		"wrong secret": {
			data: map[string]string{"tenantId": "t", "clientId": "c", "clientSecret": "canary", "authorityHost": "SERVER"},
			text: "gives no token to the application in the Secret of spec.secretRef, and answers with the HTTP status 401",
		},
		"no certificate": {
			data: map[string]string{"tenantId": "t", "clientId": "c", "clientCertificate": "canary", "authorityHost": "SERVER"},
			text: "in the Secret of spec.secretRef is not what it should be",
		},
		"busy":       {data: map[string]string{"sasKey": signature}, fault: status(503, "ServerBusy"), text: "too many requests"},
		"F34 broken": {data: map[string]string{"sasKey": signature}, fault: status(500, "InternalError"), text: "HTTP status 500"},
		"no XML":     {data: map[string]string{"sasKey": signature}, fault: status(200, ""), text: "check spec.endpoint"},
		"no server":  {data: map[string]string{"sasKey": signature}, change: func(o *azure.Options) { o.Endpoint = &url.URL{Scheme: "https", Host: "127.0.0.1:1"} }, text: "cannot reach account.blob.core.windows.net"},
		"http":       {data: map[string]string{"tenantId": "t", "clientId": "c", "clientSecret": "canary"}, change: func(o *azure.Options) { o.Endpoint.Scheme = "http" }, text: "write https://"},
		"S-25 redirect": {data: map[string]string{"sasKey": signature}, fault: func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", "https://evil.example/?"+r.URL.RawQuery)
			w.WriteHeader(http.StatusFound)
			return true
		}, text: `redirect refused: to the host "evil.example"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := buckettest.NewAzure(t, "fleet")
			server.Fail(tc.fault)
			data := map[string]string{}
			for key, value := range tc.data {
				if value == "SERVER" {
					value = map[string]string{"authorityHost": server.Authority(), "accountKey": server.AccountKey}[key]
				}
				data[key] = value
			}
			o := options(t, server, data)
			if tc.change != nil {
				tc.change(&o)
			}
			_, _, err := poll(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("got %v, want %q", err, tc.text)
			}
			for _, word := range []string{"quoted-from-server", "canary", "sig=", server.AccountKey} {
				if strings.Contains(err.Error(), word) {
					t.Errorf("it shows %q: %v", word, err)
				}
			}
		})
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		data map[string]string
		want string
	}{
		"nothing":         {nil, "refused"},
		"no signature":    {map[string]string{"sasKey": "sv=canary"}, "refused"},
		"tenant only":     {map[string]string{"tenantId": "t"}, "refused"},
		"managed":         {map[string]string{"clientId": "c"}, "managed"},
		"managed, tenant": {map[string]string{"clientId": "c", "tenantId": "t"}, "managed"},
		"authority only":  {map[string]string{"authorityHost": "https://x/"}, "zero"},
		"application":     {map[string]string{"clientId": "c", "tenantId": "t", "clientSecret": "s", "accountKey": "k"}, "own"},
		"key":             {map[string]string{"accountKey": "k", "sasKey": "sig=s"}, "own"},
	} {
		data := map[string][]byte{}
		for key, value := range tc.data {
			data[key] = []byte(value)
		}
		login, err := azure.ParseLogin(data)
		got := "managed"
		switch {
		case err != nil:
			got = "refused"
		case login.Own():
			got = "own"
		case login.IsZero():
			got = "zero"
		}
		if got != tc.want || err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if shown := fmt.Sprintf("%v %+v %#v", azure.Login{AccountKey: "canary"}, azure.Login{AccountKey: "canary"}, azure.Login{AccountKey: "canary"}); strings.Contains(shown, "canary") {
		t.Errorf("a login prints as %s", shown)
	}
}

// node is the metadata service of a node, at the address that it has on each.
type node struct {
	token string
	asked string
}

func (n *node) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if req.URL.Host != "169.254.169.254" || req.Header.Get("Metadata") != "true" {
		w.WriteHeader(http.StatusNotFound)
		return w.Result(), nil
	}
	n.asked = req.URL.Query().Get("client_id")
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":"3600","resource":"https://storage.azure.com","token_type":"Bearer"}`, n.token)
	return w.Result(), nil
}

// TestManagedIdentity: clientId alone is an identity of the node's.
func TestManagedIdentity(t *testing.T) {
	t.Parallel()
	server := buckettest.NewAzure(t, "fleet")
	metadata := &node{token: server.Token}
	o := options(t, server, map[string]string{"clientId": "identity"})
	o.Tokens.Next = metadata
	if _, _, err := poll(t.Context(), o); err != nil || metadata.asked != "identity" {
		t.Errorf("%v, asked for %q", err, metadata.asked)
	}
}
