package oci_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
	"github.com/sluice-gitops/sluice/source-controller/internal/ocitest"
)

var robot = &authn.Basic{Username: "robot", Password: "canary-password"}

// other is a host that gets no credentials, under another name than the registry's.
type other struct {
	*httptest.Server
	mu     sync.Mutex
	logins []string
	asked  int
}

func newOther(t *testing.T, answer http.HandlerFunc) *other {
	o := &other{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.asked++
		for _, header := range []string{"Authorization", "Cookie"} {
			if v := r.Header.Get(header); v != "" {
				o.logins = append(o.logins, v)
			}
		}
		o.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

// address is the host under its other name.
func (o *other) address() string { return strings.Replace(o.URL, "127.0.0.1", "localhost", 1) }

// TestS25CredentialsStayOnTheirHost: they follow no redirect, and no other host is believed about logins.
func TestS25CredentialsStayOnTheirHost(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		part   string
		answer http.HandlerFunc
		text   string
		// asked is whether the other host is asked at all.
		asked bool
	}{
		"a layer elsewhere": {"blobs are often kept elsewhere", "/blobs/", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, "content")
		}, "", true},
		"a layer elsewhere, with a login": {"that login is not ours to make", "/blobs/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="canary"`)
			w.WriteHeader(http.StatusUnauthorized)
		}, "wants credentials of its own (HTTP 401)", true},
		"a manifest elsewhere, with a login": {"the same", "/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://canary.example.com/"`)
			w.WriteHeader(http.StatusUnauthorized)
		}, "set spec.url to where the artifact is now", true},
		"a ping elsewhere": {"it is the registry's own word that counts", "/v2/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="canary"`)
			w.WriteHeader(http.StatusUnauthorized)
		}, "answers with HTTP 307", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(t)
			reg.Push(t, "app", "latest", ocitest.Flux([]byte("content"), nil))
			reg.Basic("robot", "canary-password")
			elsewhere := newOther(t, tc.answer)
			login := "Basic cm9ib3Q6Y2FuYXJ5LXBhc3N3b3Jk"
			reg.Before(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Authorization") != login && tc.part != "/v2/" {
					w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
					w.WriteHeader(http.StatusUnauthorized)
					return true
				}
				if !strings.Contains(r.URL.Path, tc.part) {
					return false
				}
				http.Redirect(w, r, elsewhere.address()+"/there?signature=canary", http.StatusTemporaryRedirect)
				return true
			})
			got, err := pull(t, open(t, reg, "app", func(o *oci.Options) { o.Auth = robot }), "latest")
			if tc.text != "" {
				complain(t, tc.reason, err, nil, tc.text)
			} else if err != nil || string(got) != "content" {
				t.Errorf("%s: %q, %v", tc.reason, got, err)
			}
			if len(elsewhere.logins) > 0 || elsewhere.asked > 0 != tc.asked {
				t.Errorf("%s: the other host was asked %d times, with %v", tc.reason, elsewhere.asked, elsewhere.logins)
			}
		})
	}
}

// TestS25HijackedRealm: where a registry sends for a token decides who sees the credentials.
func TestS25HijackedRealm(t *testing.T) {
	t.Parallel()
	t.Run("another host, unencrypted", func(t *testing.T) {
		t.Parallel()
		reg, elsewhere := ocitest.New(t), newOther(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"token":"x"}`) })
		reg.Bearer(ocitest.NewTokenServer(t, false, "", ""), elsewhere.address()+"/token")
		_, err := open(t, reg, "app", func(o *oci.Options) { o.Auth = robot }).Resolve(t.Context(), "latest")
		complain(t, "anybody on the way can name a host", err, nil, "without encryption, and credentials do not go there")
		if elsewhere.asked > 0 {
			t.Error("it was asked")
		}
	})
	t.Run("its own host, unencrypted, by a registry with TLS", func(t *testing.T) {
		t.Parallel()
		reg, tokens := ocitest.NewTLS(t, nil), ocitest.NewTokenServer(t, false, "", "")
		reg.Bearer(tokens, tokens.URL+"/token")
		_, err := open(t, reg, "app", func(o *oci.Options) { o.Auth = robot }).Resolve(t.Context(), "latest")
		complain(t, "credentials go from https to http", err, nil, "without encryption, and credentials do not go there")
		if len(tokens.Asked()) > 0 {
			t.Error("it was asked")
		}
	})
	t.Run("a token server that redirects", func(t *testing.T) {
		t.Parallel()
		reg := ocitest.New(t)
		elsewhere := newOther(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"token":"x"}`) })
		reg.Before(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/redirected" {
				http.Redirect(w, r, elsewhere.address(), http.StatusTemporaryRedirect)
				return true
			}
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/redirected"`, reg.Server.URL))
			w.WriteHeader(http.StatusUnauthorized)
			return true
		})
		_, err := open(t, reg, "app", func(o *oci.Options) { o.Auth = robot }).Resolve(t.Context(), "latest")
		complain(t, "nobody but the registry names a token server", err, nil, "without encryption, and credentials do not go there")
		if elsewhere.asked > 0 {
			t.Error("it was asked")
		}
	})
	t.Run("the metadata server of a cloud", func(t *testing.T) {
		t.Parallel()
		reg := ocitest.New(t)
		reg.Bearer(ocitest.NewTokenServer(t, false, "", ""), "https://169.254.169.254/latest/api/token")
		_, err := open(t, reg, "app", func(o *oci.Options) { o.Auth = robot }).Resolve(t.Context(), "latest")
		complain(t, "a registry must not make us ask inside", err, nil, "an internal address of another host, which is not asked")
	})
	t.Run("what an address says of a user", func(t *testing.T) {
		t.Parallel()
		reg := ocitest.New(t)
		reg.Bearer(ocitest.NewTokenServer(t, false, "", ""), "https://u:canary@auth.example.com/token")
		_, err := open(t, reg, "app", func(o *oci.Options) { o.Auth = robot }).Resolve(t.Context(), "latest")
		complain(t, "it hides the host", err, nil, "does not say where it is")
	})
}

// TestTokenServerOnAnotherHost: that is what Docker Hub and most others have.
func TestTokenServerOnAnotherHost(t *testing.T) {
	t.Parallel()
	reg := ocitest.NewTLS(t, nil)
	reg.Push(t, "app", "latest", ocitest.Flux([]byte("content"), nil))
	tokens := ocitest.NewTokenServer(t, true, "robot", "canary-password")
	// httptest's certificates are all the same, for example.com and 127.0.0.1.
	address := strings.Replace(tokens.URL, "127.0.0.1", "example.com", 1)
	reg.Bearer(tokens, address+"/token")
	transport, ok := reg.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("no transport")
	}
	transport = transport.Clone()
	to := map[string]string{strings.TrimPrefix(address, "https://"): tokens.Listener.Addr().String()}
	transport.DialContext = dialer(to)
	got, err := pull(t, open(t, reg, "app", func(o *oci.Options) { o.Auth, o.Transport = robot, transport }), "latest")
	if err != nil || string(got) != "content" {
		t.Fatalf("%q, %v", got, err)
	}
	for _, h := range reg.Headers() {
		if login := h.Get("Authorization"); login != "" && !strings.HasPrefix(login, "Bearer canary-") {
			t.Error("the registry got the password, which is for the token server")
		}
	}
	refused := ocitest.NewTLS(t, nil)
	refused.Bearer(tokens, address+"/token")
	_, err = open(t, refused, "app", func(o *oci.Options) {
		o.Auth, o.Transport = &authn.Basic{Username: "robot", Password: "canary-wrong"}, transport
	}).Resolve(t.Context(), "latest")
	complain(t, "they are wrong", err, oci.ErrAuthentication, "does not accept the credentials in spec.secretRef (HTTP 401)")
}

// TestNoPlainHTTP: without spec.insecure nothing is sent unencrypted, to whichever host.
func TestNoPlainHTTP(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	_, err := open(t, reg, "app", func(o *oci.Options) { o.Insecure, o.Auth = false, robot }).Resolve(t.Context(), "latest")
	complain(t, "the registry has no TLS", err, nil, "speaks HTTP without TLS; set spec.insecure to allow that")
	if asked := reg.Requests(); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
	secure := ocitest.NewTLS(t, nil)
	secure.Push(t, "app", "latest", ocitest.Flux([]byte("content"), nil))
	elsewhere := newOther(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "content") })
	secure.Before(only("/blobs/", func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, elsewhere.address(), http.StatusFound)
		return true
	}))
	_, err = pull(t, open(t, secure, "app", nil), "latest")
	complain(t, "the layer is on http", err, nil, "redirects from https to http on the host")
	if elsewhere.asked > 0 {
		t.Error("it was asked")
	}
}

func TestRegistryWantsACertificate(t *testing.T) {
	t.Parallel()
	reg := ocitest.NewTLS(t, func(s *httptest.Server) {
		s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	})
	_, err := open(t, reg, "app", nil).Resolve(t.Context(), "latest")
	complain(t, "we have none", err, nil, "refuses the TLS connection; it may want a certificate of ours")
}

func TestRedirectsWithoutEnd(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	reg.Before(only("/manifests/", func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
		return true
	}))
	_, err := open(t, reg, "app", nil).Resolve(t.Context(), "latest")
	complain(t, "they would go on until the timeout", err, nil, "redirects more than 5 times in a row")
}

func TestTagsOnAnotherHost(t *testing.T) {
	t.Parallel()
	reg, elsewhere := ocitest.New(t), newOther(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"tags":["v9"]}`) })
	reg.Before(only("/tags/list", func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Link", "<"+elsewhere.address()+`/v2/app/tags/list>; rel="next"`)
		_, _ = fmt.Fprint(w, `{"tags":["v1"]}`)
		return true
	}))
	_, err := open(t, reg, "app", func(o *oci.Options) { o.Auth = robot }).Tags(t.Context())
	complain(t, "it has no say about the tags", err, nil, "continues its list of tags on the host")
	if elsewhere.asked > 0 {
		t.Error("it was asked")
	}
}

// TestAnotherRegistryIsAnotherMemory: what one registry said is nothing that another one is held to.
func TestAnotherRegistryIsAnotherMemory(t *testing.T) {
	t.Parallel()
	first, second := ocitest.New(t), ocitest.New(t)
	second.Push(t, "app", "latest", ocitest.Flux([]byte("content"), nil))
	first.Push(t, "app", "latest", ocitest.Flux([]byte("content"), nil))
	bearer("", "")(t, first)
	var memory oci.Memory
	for _, reg := range []*ocitest.Registry{first, second, first} {
		if _, err := pull(t, open(t, reg, "app", func(o *oci.Options) { o.Memory = &memory }), "latest"); err != nil {
			t.Error(err)
		}
	}
	for _, h := range second.Headers() {
		if h.Get("Authorization") != "" {
			t.Error("the second registry got a token of the first")
		}
	}
}

// TestF41TokensEnd: a token is for who asked for it, for one repository, and until it ends, whatever its server says.
func TestF41TokensEnd(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason    string
		expiresIn int
		then      func(now *time.Time, repo *string, auth *authn.Authenticator)
		given     int
	}{
		"at once":             {"it is good still", 300, func(*time.Time, *string, *authn.Authenticator) {}, 1},
		"before its end":      {"it is good still", 300, func(now *time.Time, _ *string, _ *authn.Authenticator) { *now = now.Add(4 * time.Minute) }, 1},
		"shortly before":      {"it may end on its way", 300, func(now *time.Time, _ *string, _ *authn.Authenticator) { *now = now.Add(295 * time.Second) }, 2},
		"after":               {"it ended", 300, func(now *time.Time, _ *string, _ *authn.Authenticator) { *now = now.Add(time.Hour) }, 2},
		"without an end":      {"that is a minute, by the protocol", 0, func(now *time.Time, _ *string, _ *authn.Authenticator) { *now = now.Add(time.Minute) }, 2},
		"an end far away":     {"an hour is the longest", 1 << 30, func(now *time.Time, _ *string, _ *authn.Authenticator) { *now = now.Add(time.Hour) }, 2},
		"another repository":  {"it is not for that", 300, func(_ *time.Time, repo *string, _ *authn.Authenticator) { *repo = "other" }, 2},
		"another credentials": {"they may be allowed less", 300, func(_ *time.Time, _ *string, auth *authn.Authenticator) { *auth = nil }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg, tokens := ocitest.New(t), ocitest.NewTokenServer(t, false, "", "")
			tokens.ExpiresIn = tc.expiresIn
			for _, repo := range []string{"app", "other"} {
				reg.Push(t, repo, "latest", ocitest.Flux([]byte("content"), nil))
			}
			reg.Bearer(tokens, "")
			now, repo, auth := time.Unix(1000, 0), "app", authn.Authenticator(robot)
			memory := oci.Memory{Clock: func() time.Time { return now }}
			for range 2 {
				if _, err := open(t, reg, repo, func(o *oci.Options) { o.Auth, o.Memory = auth, &memory }).Resolve(t.Context(), "latest"); err != nil {
					t.Fatal(err)
				}
				tc.then(&now, &repo, &auth)
			}
			if tokens.Given() != tc.given {
				t.Errorf("%s: %d tokens were given, want %d", tc.reason, tokens.Given(), tc.given)
			}
		})
	}
}

func TestKeychain(t *testing.T) {
	t.Parallel()
	config := `{"auths":{
		"ghcr.io":{"username":"ghcr","password":"p"},
		"https://index.docker.io/v1/":{"auth":"aHViOnA="},
		"host:5000":{"username":"port","password":"p"},
		"*.example.com":{"username":"any","password":"p"},
		"reg.example.com/team":{"username":"team","password":"p"},
		"empty.io":{}
	}}`
	for url, want := range map[string]string{
		"oci://ghcr.io/org/app":            "ghcr",
		"oci://docker.io/org/app":          "hub",
		"oci://host:5000/app":              "port",
		"oci://host:5001/app":              "",
		"oci://a.example.com/app":          "any",
		"oci://a.b.example.com/app":        "",
		"oci://reg.example.com/team/app":   "team",
		"oci://reg.example.com/teamed/app": "any",
		"oci://evil-ghcr.io/org/app":       "",
		"oci://ghcr.io.evil.com/org/app":   "",
		"oci://empty.io/app":               "",
	} {
		chain, err := oci.Keychain([]byte(config))
		if err != nil {
			t.Fatal(err)
		}
		repo, err := oci.Parse(url, false)
		if err != nil {
			t.Fatal(err)
		}
		auth, err := chain.Resolve(repo)
		if err != nil {
			t.Fatal(err)
		}
		got, err := auth.Authorization()
		if err != nil || got.Username != want {
			t.Errorf("%s: logs in as %q, want %q (%v)", url, got.Username, want, err)
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v", chain, chain, chain), "ghcr") {
			t.Error("logins can be printed")
		}
	}
	for config, text := range map[string]string{
		`{`:                                    "is not JSON",
		`{}`:                                   "has no auths",
		`{"auths":{"a.io":{"auth":"canary"}}}`: "no proper username and password",
		`{"auths":{"a.io":"canary"}}`:          "no proper username and password",
	} {
		_, err := oci.Keychain([]byte(config))
		complain(t, config, err, nil, text)
	}
	if _, err := oci.Keychain([]byte(`{"a.io":{"username":"u","password":"p"}}`)); err != nil {
		t.Errorf("the form of kubernetes.io/dockercfg: %v", err)
	}
}

func FuzzKeychain(f *testing.F) {
	for _, config := range []string{`{"auths":{"a.io":{"auth":"dTpw"}}}`, `{"a.io":{"username":"u"}}`, `{"auths":{"*.[":{}}}`} {
		f.Add([]byte(config), "oci://a.io/app")
	}
	f.Fuzz(func(_ *testing.T, config []byte, url string) {
		chain, err := oci.Keychain(config)
		repo, bad := oci.Parse(url, false)
		if err == nil && bad == nil {
			_, _ = chain.Resolve(repo)
		}
	})
}
