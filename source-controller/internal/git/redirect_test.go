package git_test

import (
	"net/http"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

// moved redirects the first request for a repository.
func moved(to string) gittest.Disturbance {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if !strings.HasPrefix(r.URL.Path, "/old.git/") {
			return false
		}
		http.Redirect(w, r, to+"/info/refs?"+r.URL.RawQuery, http.StatusMovedPermanently)
		return true
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	ref := &sourcev1.GitRepositoryRef{Branch: "main"}
	secret, err := git.ParseCredentials("https://example.com/x", map[string][]byte{"username": []byte("ada"), "password": []byte("canary")})
	if err != nil {
		t.Fatal(err)
	}
	here, there := gittest.New(t), gittest.New(t)
	renamed, elsewhere := here.Repo(t, "app"), there.Repo(t, "app")
	renamed.Commit("one", map[string]string{"a": "1"})
	elsewhere.Commit("one", map[string]string{"a": "1"})
	here.Protect("ada", "canary")
	for name, tc := range map[string]struct {
		reason string
		to     string
		cred   git.Credentials
		ok     bool
		// user is one in the address.
		user string
	}{
		"renamed":                {"the same host may see the credentials", renamed.URL, secret, true, ""},
		"elsewhere, no secret":   {"there is nothing to keep", elsewhere.URL, git.Credentials{}, true, ""},
		"elsewhere, with secret": {"another host must not see the credentials", elsewhere.URL, secret, false, ""},
		"round and round":        {"there is an end to it", here.URL + "/old.git", secret, false, ""},
		"elsewhere, with a user": {"a user in the address may be a token", elsewhere.URL, git.Credentials{}, false, "canary@"},
	} {
		t.Run(name, func(t *testing.T) {
			here.Disturb(moved(tc.to))
			there.Requests()
			clone, _ := newClone(t)
			_, err := poll(t, clone, strings.Replace(here.URL, "://", "://"+tc.user, 1)+"/old.git", ref, tc.cred)
			if (err == nil) != tc.ok {
				t.Errorf("got %v: %s", err, tc.reason)
			}
			if err != nil && (!strings.Contains(err.Error(), "redirect refused") || strings.Contains(err.Error(), "canary")) {
				t.Errorf("the message is %q", err)
			}
			if asked := there.Requests(); !tc.ok && len(asked) > 0 {
				t.Errorf("the other host was asked %v", asked)
			}
		})
	}
}

func TestUserInTheAddress(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1"})
	for name, tc := range map[string]struct {
		user, password string
		address        string
		secret         map[string][]byte
		text           string
	}{
		"a token":              {"canary", "", "canary@", nil, ""},
		"another token":        {"canary", "", "other-canary@", nil, "wants more than a user name"},
		"a token in a Secret":  {"canary", "", "", map[string][]byte{"username": []byte("canary")}, ""},
		"password in a Secret": {"ada", "canary", "ada@", map[string][]byte{"password": []byte("canary")}, ""},
		"Secret over address":  {"ada", "canary", "bob@", map[string][]byte{"username": []byte("ada"), "password": []byte("canary")}, ""},
		"a password alone":     {"ada", "canary", "", map[string][]byte{"password": []byte("canary")}, "no username"},
	} {
		t.Run(name, func(t *testing.T) {
			server.Protect(tc.user, tc.password)
			var cred git.Credentials
			if tc.secret != nil {
				var err error
				if cred, err = git.ParseCredentials("https://example.com/x", tc.secret); err != nil {
					t.Fatal(err)
				}
			}
			clone, _ := newClone(t)
			address := strings.Replace(repo.URL, "://", "://"+tc.address, 1)
			_, err := poll(t, clone, address, &sourcev1.GitRepositoryRef{Branch: "main"}, cred)
			if (err == nil) != (tc.text == "") || err != nil && (!strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "canary")) {
				t.Errorf("got %v, want %q", err, tc.text)
			}
		})
	}
}
