package git_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

// TestCredentialsWithWhiteSpaceAroundThem: a Secret that was made by echo or from a file has a line end that nobody sees. What
// is refused because of it says so by the names of the keys, and by nothing of the values.
func TestCredentialsWithWhiteSpaceAroundThem(t *testing.T) {
	t.Parallel()
	const hint = "white space"
	for name, tc := range map[string]struct {
		reason string
		status int
		secret map[string]string
		want   string
	}{
		"line ends of echo": {"both are named", 401, map[string]string{"username": "ada\n", "password": "canary\n"},
			"username and password in the Secret of spec.secretRef end with white space"},
		"password alone": {"the other is right", 401, map[string]string{"username": "ada", "password": "canary\r\n"},
			"; password in the Secret of spec.secretRef ends with white space"},
		"at the beginning": {"pasted from a table", 401, map[string]string{"username": "\tada", "password": "canary "},
			"username and password in the Secret of spec.secretRef begin or end with white space"},
		"user name alone": {"a token as user name", 401, map[string]string{"username": "canary\n"}, "username in the Secret of spec.secretRef end"},
		"forbidden":       {"some servers say 403", 403, map[string]string{"username": "ada", "password": "canary\n"}, "password in the Secret"},
		"not found":       {"others hide what they have", 404, map[string]string{"username": "ada", "password": "canary\n"}, "password in the Secret"},
		"none":            {"it is simply wrong", 401, map[string]string{"username": "ada", "password": "can ary"}, "does not accept the credentials"},
		"server is down":  {"that is not why", 503, map[string]string{"username": "ada", "password": "canary\n"}, "answers with HTTP 503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tc.status) }))
			t.Cleanup(server.Close)
			clone, _ := newClone(t)
			_, err := poll(t, clone, server.URL+"/app.git", &sourcev1.GitRepositoryRef{Branch: "main"}, parse(t, tc.secret))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "canary") {
				t.Fatalf("got %v, want %q: %s", err, tc.want, tc.reason)
			}
			if said := strings.Contains(err.Error(), hint); said != strings.Contains(tc.want, "Secret") {
				t.Errorf("white space is blamed: %t, in %v: %s", said, err, tc.reason)
			}
		})
	}
}

// TestWhiteSpaceThatIsMeant: a password is sent as it is, for it may be meant.
func TestWhiteSpaceThatIsMeant(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1"})
	server.Protect("ada", "canary \n")
	clone, _ := newClone(t)
	cred := parse(t, map[string]string{"username": "ada", "password": "canary \n"})
	if _, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Branch: "main"}, cred); err != nil {
		t.Error(err)
	}
}

// TestTokenWithWhiteSpaceAroundIt: around a token it means nothing, and HTTP would not take it; inside it is refused by name.
func TestTokenWithWhiteSpaceAroundIt(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(server.Close)
	clone, _ := newClone(t)
	cred := parse(t, map[string]string{"bearerToken": " token-canary\n"})
	if _, err := poll(t, clone, server.URL+"/app.git", &sourcev1.GitRepositoryRef{Branch: "main"}, cred); err == nil {
		t.Fatal("the server refuses everybody")
	}
	if sent := <-got; sent != "Bearer token-canary" {
		t.Errorf("sent %q", sent)
	}
	_, err := git.ParseCredentials("https://example.com/x", map[string][]byte{"bearerToken": []byte("one\ncanary")})
	if err == nil || !strings.Contains(err.Error(), "bearerToken has a line end") || strings.Contains(err.Error(), "canary") {
		t.Errorf("two lines: %v", err)
	}
}

// TestProxyWithWhiteSpaceAroundIt is the same for the Secret of a proxy: its address has none, its password may.
func TestProxyWithWhiteSpaceAroundIt(t *testing.T) {
	t.Parallel()
	_, tls := gittest.NewTLS(t)
	proxy, err := secret.ParseProxy(map[string][]byte{
		"address": []byte(talkative(t) + "\n"), "username": []byte("ada"), "password": []byte("canary\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	cred := git.Credentials{Proxy: proxy}
	clone, _ := newClone(t)
	_, err = poll(t, clone, tls.URL+"/app.git", &sourcev1.GitRepositoryRef{Branch: "main"}, cred)
	if err == nil || !strings.Contains(err.Error(), "password in the Secret of spec.proxySecretRef end") || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

func parse(t *testing.T, secret map[string]string) git.Credentials {
	t.Helper()
	data := map[string][]byte{}
	for key, value := range secret {
		data[key] = []byte(value)
	}
	cred, err := git.ParseCredentials("https://example.com/x", data)
	if err != nil {
		t.Fatal(err)
	}
	return cred
}
