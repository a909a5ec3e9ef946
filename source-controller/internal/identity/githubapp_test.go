package identity_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

// github is the API of GitHub, for the App 7 whose installation 42 is that of the organization acme and of the user jo.
type github struct {
	key    *rsa.PrivateKey
	life   time.Duration
	date   time.Duration // how far its clock is ahead
	status int           // of its refusal, if it refuses
	header map[string]string
	empty  bool // its answer lacks the token
	tokens atomic.Int32
}

func (g *github) start(t testing.TB, host, base string) *github {
	t.Helper()
	var err error
	if g.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if g.life == 0 {
		g.life = time.Hour
	}
	installation := func(w http.ResponseWriter, r *http.Request) {
		if g.refused(w, r) {
			return
		}
		if owner := r.PathValue("owner"); owner != "acme" && owner != "jo" {
			writeJSON(w, http.StatusNotFound, map[string]string{"message": "Not Found"})
			return
		}
		writeJSON(w, http.StatusOK, map[string]int{"id": 42})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+"/orgs/{owner}/installation", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("owner") == "jo" {
			writeJSON(w, http.StatusNotFound, map[string]string{"message": "Not Found"})
			return
		}
		installation(w, r)
	})
	mux.HandleFunc("GET "+base+"/users/{owner}/installation", installation)
	mux.HandleFunc("POST "+base+"/app/installations/{id}/access_tokens", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case g.refused(w, r):
		case r.PathValue("id") != "42":
			writeJSON(w, http.StatusNotFound, map[string]string{"message": "Not Found"})
		case g.empty:
			writeJSON(w, http.StatusCreated, map[string]string{})
		default:
			writeJSON(w, http.StatusCreated, map[string]string{
				"token": fmt.Sprint("CANARY-ghs-", g.tokens.Add(1)), "expires_at": time.Now().Add(g.life).UTC().Format(time.RFC3339),
			})
		}
	})
	outside.serve(t, host, mux.ServeHTTP)
	return g
}

// refused answers as GitHub does what it does not take. The clock comes first: it is how GitHub knows that a token is not new.
func (g *github) refused(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Date", time.Now().Add(g.date).UTC().Format(http.TimeFormat))
	for name, value := range g.header {
		w.Header().Set(name, value)
	}
	status, token := g.status, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if status == 0 && (g.date.Abs() > time.Minute || !g.signed(token)) {
		status = http.StatusUnauthorized
	}
	if status == 0 {
		return false
	}
	writeJSON(w, status, map[string]string{"message": "CANARY " + token})
	return true
}

func (g *github) signed(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || rsa.VerifyPKCS1v15(&g.key.PublicKey, crypto.SHA256, sum[:], signature) != nil {
		return false
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	return err == nil && json.Unmarshal(raw, &c) == nil && c.Issuer == "7"
}

// secret is what a Secret says of the App; changes with an empty value take a key away.
func (g *github) secret(changes map[string]string) map[string][]byte {
	data := map[string][]byte{
		"githubAppID": []byte("7\n"), "githubAppInstallationID": []byte("42"),
		"githubAppPrivateKey": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(g.key)}),
	}
	for key, value := range changes {
		data[key] = []byte(value)
	}
	maps.DeleteFunc(data, func(_ string, value []byte) bool { return len(value) == 0 })
	return data
}

func app() identity.Subject {
	return identity.Subject{Kind: "GitRepository", Namespace: "team", Name: "podinfo"}
}

// TestGitHubApp: an installation by its number, by the organization and by the user that it is of, at GitHub and at a server of
// one's own with its authority, and through a proxy.
func TestGitHubApp(t *testing.T) {
	enterprise := map[string]string{"githubAppBaseURL": "https://github.example.com/api/v3"}
	for name, tc := range map[string]struct {
		host, base string
		changes    map[string]string
		private    bool
		proxied    bool
	}{
		"by number":       {host: "api.github.com"},
		"by organization": {host: "api.github.com", changes: map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": "acme"}},
		"by user":         {host: "api.github.com", changes: map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": "jo"}},
		"own server":      {host: "github.example.com", base: "/api/v3", changes: enterprise, private: true},
		"through a proxy": {host: "api.github.com", proxied: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := (&github{}).start(t, tc.host, tc.base)
			data, s := g.secret(tc.changes), app()
			if tc.private {
				data["ca.crt"] = outside.private(t, tc.host).pem
			}
			if tc.proxied {
				s.Proxy = outside.object
			}
			own, err := secret.ParseTLS(data)
			if err != nil {
				t.Fatal(err)
			}
			login, err := issuer(t, nil).GitHubApp(t.Context(), s, data, own)
			if err != nil || login.Username != "x-access-token" || !strings.HasPrefix(login.Password, "CANARY-ghs-") {
				t.Errorf("user %q, %v", login.Username, err)
			}
			if tc.proxied {
				for _, got := range outside.requests(tc.host) {
					if !strings.HasPrefix(got, "object ") {
						t.Errorf("request %q, want it through the object's proxy", got)
					}
				}
			}
		})
	}
}

// TestF41GitHubApp: the token of an installation is got again before it ends, and when the key is another one.
func TestF41GitHubApp(t *testing.T) {
	g := (&github{}).start(t, "api.github.com", "")
	now := &clock{}
	i := issuer(t, func(o *identity.Options) { o.Clock = now.now })
	get := func(s identity.Subject, want int32) {
		t.Helper()
		if _, err := i.GitHubApp(t.Context(), s, g.secret(nil), secret.TLS{}); err != nil {
			t.Fatal(err)
		}
		if n := g.tokens.Load(); n != want {
			t.Errorf("%d tokens, want %d", n, want)
		}
	}
	get(app(), 1)
	get(app(), 1)
	other := app()
	other.Namespace = "elsewhere"
	get(other, 2) // a namespace shares nothing with another
	now.ahead = 50 * time.Minute
	get(app(), 3)
	i.Refused("GitRepository", "team", "podinfo")
	get(app(), 4)
	get(app(), 4)
}

// TestS20GitHubRefuses: GitHub's documented errors, in words that have nothing of what was sent and are the same each time.
func TestS20GitHubRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		github  *github // nil: one that takes what is right
		changes map[string]string
		unknown bool // the key is not the App's
		private bool // it shows a certificate that nobody trusts
		silent  bool // there is nobody
		says    []string
	}{
		"wrong key":           {unknown: true, says: []string{"api.github.com refuses the key (401)", "githubAppPrivateKey"}},
		"clock":               {github: &github{date: 10 * time.Minute}, says: []string{"401", "clock of this node"}},
		"clock behind":        {github: &github{date: -10 * time.Minute}, says: []string{"401", "clock of this node"}},
		"suspended":           {github: &github{status: 403}, says: []string{"403", "suspended"}},
		"no installation":     {changes: map[string]string{"githubAppInstallationID": "43"}, says: []string{"404", "githubAppInstallationID"}},
		"no owner":            {changes: map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": "nobody"}, says: []string{"404", "githubAppInstallationOwner"}},
		"asked too often":     {github: &github{status: 403, header: map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9999999999"}}, says: []string{"too often"}},
		"asked too fast":      {github: &github{status: 429, header: map[string]string{"Retry-After": "60"}}, says: []string{"too often", "429"}},
		"down":                {github: &github{status: 502}, says: []string{"answers 502 Bad Gateway"}},
		"no token":            {github: &github{empty: true}, says: []string{"no token", "githubAppBaseURL"}},
		"unknown authority":   {private: true, says: []string{"unknown authority", "ca.crt of spec.secretRef"}},
		"unreachable":         {silent: true, says: []string{"cannot reach api.github.com"}},
		"no App":              {changes: map[string]string{"githubAppID": ""}, says: []string{"githubAppID is missing"}},
		"App's name":          {changes: map[string]string{"githubAppID": "CANARY"}, says: []string{"githubAppID is not a positive number"}},
		"both installations":  {changes: map[string]string{"githubAppInstallationOwner": "acme"}, says: []string{"exactly one of"}},
		"neither":             {changes: map[string]string{"githubAppInstallationID": ""}, says: []string{"exactly one of"}},
		"no key":              {changes: map[string]string{"githubAppPrivateKey": ""}, says: []string{"githubAppPrivateKey is missing"}},
		"not a key":           {changes: map[string]string{"githubAppPrivateKey": "CANARY"}, says: []string{"githubAppPrivateKey is not an RSA key"}},
		"password in address": {changes: map[string]string{"githubAppBaseURL": "https://jo:CANARY@github.example.com"}, says: []string{"githubAppBaseURL"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := tc.github
			if g == nil {
				g = &github{}
			}
			g.start(t, "api.github.com", "")
			data := g.secret(tc.changes)
			if tc.unknown {
				data = (&github{}).start(t, "elsewhere.example.com", "").secret(nil)
			}
			if tc.private {
				outside.private(t, "api.github.com")
			}
			if tc.silent {
				outside.serve(t, "api.github.com", nil)
			}
			i := issuer(t, nil)
			_, err := i.GitHubApp(t.Context(), app(), data, secret.TLS{})
			first := problem(t, err, append(tc.says, "spec.secretRef")...)
			noSecret(t, first.Message)
			if _, err := i.GitHubApp(t.Context(), app(), data, secret.TLS{}); problem(t, err).Message != first.Message {
				t.Errorf("the second message is %q, the first was %q", err, first.Message)
			}
		})
	}
}

// TestGitHubHangs: an API that does not answer keeps an attempt no longer than its own time.
func TestGitHubHangs(t *testing.T) {
	g := (&github{}).start(t, "api.github.com", "")
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	outside.serve(t, "api.github.com", func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := issuer(t, nil).GitHubApp(ctx, app(), g.secret(nil), secret.TLS{})
	noSecret(t, problem(t, err, "api.github.com did not give a token in time").Message)
}

// TestS25GitHubRedirects: what an App signs is for the host of its API, and for no other that it names.
func TestS25GitHubRedirects(t *testing.T) {
	g := (&github{}).start(t, "api.github.com", "")
	for _, elsewhere := range []string{"https://elsewhere.example.com", "http://elsewhere.example.com"} {
		outside.serve(t, "api.github.com", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere+r.URL.Path, http.StatusTemporaryRedirect)
		})
		outside.serve(t, "elsewhere.example.com", func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s got %v", elsewhere, r.Header) })
		_, err := issuer(t, nil).GitHubApp(t.Context(), app(), g.secret(nil), secret.TLS{})
		says(t, err, "api.github.com gives no token, and answers 307")
	}
}

// FuzzParseApp: whatever a Secret holds, an error names keys and not values, and an App that is taken has all that it needs.
func FuzzParseApp(f *testing.F) {
	f.Add("7", "42", "", "KEY", "")
	f.Add(" 7\n", "", "acme", "KEY", "https://github.example.com/api/v3/")
	f.Add("-1", "0", "a/../b", "", "ftp://u:p@h")
	f.Fuzz(func(t *testing.T, id, installation, owner, key, base string) {
		data := map[string][]byte{}
		for name, value := range map[string]string{
			"githubAppID": id, "githubAppInstallationID": installation, "githubAppInstallationOwner": owner,
			"githubAppPrivateKey": key, "githubAppBaseURL": base,
		} {
			data[name] = []byte(value)
		}
		used, host, err := identity.ParseApp(data)
		if err != nil {
			for _, value := range []string{installation, owner, key, base} {
				if len(value) > 40 && strings.Contains(err.Error(), value) {
					t.Errorf("the error quotes a value: %v", err)
				}
			}
			return
		}
		if host == "" || len(used["githubAppID"]) == 0 || len(used["githubAppPrivateKey"]) == 0 {
			t.Errorf("an App without what it needs was taken: host %q", host)
		}
		if (len(used["githubAppInstallationID"]) == 0) == (len(used["githubAppInstallationOwner"]) == 0) {
			t.Error("an App with both or neither of installation and owner was taken")
		}
	})
}
