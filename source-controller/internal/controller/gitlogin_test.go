package controller_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

// store writes a Secret beside an object; there may be one already.
func store(t *testing.T, obj *sourcev1.GitRepository, name string, data map[string][]byte) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: obj.Namespace, Name: name}, Data: data}
	if err := shared.Update(t.Context(), secret); err == nil {
		return
	}
	if err := shared.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
}

func failing(obj *sourcev1.GitRepository, reason, text string) func() error {
	return func() error { return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, reason, text) }
}

// TestGitRepositoryOverSSH: from what a Secret can have wrong to an artifact, one connection for each poll after it, and no write.
func TestGitRepositoryOverSSH(t *testing.T) {
	t.Parallel()
	server := gittest.NewSSH(t)
	repo := server.Repo(t, "app")
	commit := repo.Commit("one", map[string]string{"a.yaml": "a: 1\n"})
	obj := create(t, repo.URL, func(o *sourcev1.GitRepository) { o.Spec.SecretRef = &meta.LocalObjectReference{Name: "key"} })
	until(t, obj, failing(obj, "AuthenticationFailed", "does not exist"))
	good, stranger := server.Secret(), gittest.NewSSH(t)
	for _, step := range []struct {
		data map[string][]byte
		text string
	}{
		{map[string][]byte{"identity": good["identity"]}, "it has no known_hosts"},
		{map[string][]byte{"identity": []byte("canary"), "known_hosts": good["known_hosts"]}, "identity is not a private key"},
		{map[string][]byte{"identity": good["identity"], "known_hosts": stranger.KnownHosts()}, "has no key of the host"},
		{map[string][]byte{"identity": stranger.Identity, "known_hosts": good["known_hosts"]}, "does not let the user git in"},
	} {
		store(t, obj, "key", step.data)
		until(t, obj, failing(obj, "AuthenticationFailed", step.text))
	}
	store(t, obj, "key", good)
	until(t, obj, at(obj, "main@sha1:"+commit))
	if got := names(download(t, obj.Status.Artifact)); got != "a.yaml" {
		t.Errorf("files: %s", got)
	}
	server.Connections()
	before := obj.ResourceVersion
	request(t, obj)
	if n, commands := server.Connections(); n != 1 || len(commands) != 1 {
		t.Errorf("a poll without news took %d connections for %v; it changed %s", n, commands, before)
	}
	second := repo.Commit("two", map[string]string{"b.yaml": "b: 1\n"})
	request(t, obj)
	if err := at(obj, "main@sha1:"+second)(); err != nil {
		t.Error(err)
	}
	if n, _ := server.Connections(); n != 1 {
		t.Errorf("a new commit took %d connections", n)
	}
}

// TestF41RotatedKeys: a key that was replaced at the server fails once, the artifact stays, and the new one is read again.
func TestF41RotatedKeys(t *testing.T) {
	t.Parallel()
	server := gittest.NewSSH(t)
	repo := server.Repo(t, "app")
	commit := repo.Commit("one", map[string]string{"a.yaml": "a: 1\n"})
	obj := create(t, repo.URL, func(o *sourcev1.GitRepository) { o.Spec.SecretRef = &meta.LocalObjectReference{Name: "key"} })
	store(t, obj, "key", server.Secret())
	until(t, obj, at(obj, "main@sha1:"+commit))
	fresh := gittest.NewKey(t)
	server.Expel(gittest.Signer(t, server.Identity).PublicKey())
	server.Accept(gittest.Signer(t, fresh).PublicKey())
	request(t, obj)
	if err := failing(obj, "AuthenticationFailed", "does not let the user git in")(); err != nil || obj.Status.Artifact == nil {
		t.Errorf("%v, artifact %+v", err, obj.Status.Artifact)
	}
	download(t, obj.Status.Artifact)
	store(t, obj, "key", map[string][]byte{"identity": fresh, "known_hosts": server.KnownHosts()})
	until(t, obj, at(obj, "main@sha1:"+commit)) // by itself, long before the interval
}

// TestF34ServersThatFailOverSSH: the artifact stays whatever the server does, and comes back into line by itself.
func TestF34ServersThatFailOverSSH(t *testing.T) {
	t.Parallel()
	server := gittest.NewSSH(t)
	repo := server.Repo(t, "app")
	commit := repo.Commit("one", map[string]string{"a.yaml": "a: 1\n"})
	obj := create(t, repo.URL, func(o *sourcev1.GitRepository) {
		o.Spec.SecretRef = &meta.LocalObjectReference{Name: "key"}
		o.Spec.Timeout = &metav1.Duration{Duration: 5 * time.Second}
	})
	store(t, obj, "key", server.Secret())
	until(t, obj, at(obj, "main@sha1:"+commit))
	server.Disturb(gittest.Refuse)
	request(t, obj)
	if err := failing(obj, "GitOperationFailed", "repository not found")(); err != nil {
		t.Error(err)
	}
	download(t, obj.Status.Artifact)
	server.Disturb(nil)
	until(t, obj, at(obj, "main@sha1:"+commit))
}

// github is the part of GitHub that gives a GitHub App its tokens, and a repository that takes nothing else.
type github struct {
	*gittest.Server
	api string
	key []byte

	mu     sync.Mutex
	status int
	tokens int
}

func newGitHub(t *testing.T) *github {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := &github{
		Server: gittest.New(t), status: http.StatusCreated,
		key: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}),
	}
	api := httptest.NewServer(g.handler())
	t.Cleanup(api.Close)
	g.api = api.URL
	return g
}

func (g *github) answer(status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status = status
}

// given is how many tokens it gave away.
func (g *github) given() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tokens
}

func (g *github) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orgs/acme/installation", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]int{"id": 42})
	})
	mux.HandleFunc("POST /app/installations/42/access_tokens", func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ey") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(g.status)
		if g.status != http.StatusCreated {
			_, _ = fmt.Fprint(w, `{"message":"canary of the server"}`)
			return
		}
		g.tokens++
		token := fmt.Sprintf("ghs_canary%d", g.tokens)
		g.Protect("x-access-token", token)
		_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_at": time.Now().Add(time.Hour)})
	})
	return mux
}

// TestGitRepositoryAsGitHubApp: what a Secret and an App can have wrong, and a token that is asked for once, while it is taken.
func TestGitRepositoryAsGitHubApp(t *testing.T) {
	t.Parallel()
	hub := newGitHub(t)
	repo := hub.Repo(t, "app")
	commit := repo.Commit("one", map[string]string{"a.yaml": "a: 1\n"})
	hub.Protect("nobody", "canary")
	app := func(more map[string]string) map[string][]byte {
		data := map[string][]byte{"githubAppID": []byte("7\n"), "githubAppPrivateKey": hub.key, "githubAppBaseURL": []byte(hub.api)}
		for key, value := range more {
			data[key] = []byte(value)
		}
		return data
	}
	obj := create(t, repo.URL, func(o *sourcev1.GitRepository) {
		o.Spec.SecretRef = &meta.LocalObjectReference{Name: "app"}
		o.Spec.Provider = sourcev1.GitProviderGitHub
	})
	store(t, obj, "app", map[string][]byte{"username": []byte("canary"), "password": []byte("canary")})
	until(t, obj, failing(obj, "InvalidProviderConfiguration", "holds none (githubAppID)"))
	store(t, obj, "app", app(nil))
	until(t, obj, failing(obj, "AuthenticationFailed", "exactly one of githubAppInstallationID and githubAppInstallationOwner"))
	store(t, obj, "app", app(map[string]string{"githubAppInstallationID": "41"}))
	until(t, obj, failing(obj, "AuthenticationFailed", "knows no such installation of this App (404)"))
	hub.answer(http.StatusForbidden)
	store(t, obj, "app", app(map[string]string{"githubAppInstallationOwner": "acme"}))
	until(t, obj, failing(obj, "AuthenticationFailed", "refuses the installation (403)"))
	hub.answer(http.StatusCreated)
	until(t, obj, at(obj, "main@sha1:"+commit))

	second := repo.Commit("two", map[string]string{"b.yaml": "b: 1\n"})
	request(t, obj)
	if err := at(obj, "main@sha1:"+second)(); err != nil || hub.given() != 1 {
		t.Errorf("%v, with %d tokens", err, hub.given())
	}
	// The token is taken away before its time: it fails once, and another one is asked for, long before the interval.
	hub.Protect("x-access-token", "another-canary")
	request(t, obj)
	if err := failing(obj, "AuthenticationFailed", "does not accept the GitHub App in spec.secretRef (HTTP 401)")(); err != nil {
		t.Error(err)
	}
	until(t, obj, at(obj, "main@sha1:"+second))

	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Provider = "" })
	until(t, obj, failing(obj, "InvalidProviderConfiguration", "is for spec.provider github"))
}

// TestGitRepositoryAtCodeCommit: keys in this controller's environment sign the address, through a proxy that knows the host.
// It is not parallel: the environment is everybody's.
func TestGitRepositoryAtCodeCommit(t *testing.T) {
	const host = "git-codecommit.eu-west-1.amazonaws.com"
	ca := gittest.NewAuthority(t)
	server := ca.Serve(t, host, time.Now().Add(time.Hour), false)
	repo := server.Repo(t, "v1/repos/app")
	commit := repo.Commit("one", map[string]string{"a.yaml": "a: 1\n"})
	var mu sync.Mutex
	var users []string
	server.Disturb(func(w http.ResponseWriter, r *http.Request, git http.Handler) bool {
		user, password, ok := r.BasicAuth()
		mu.Lock()
		users = append(users, user)
		mu.Unlock()
		if !ok || len(password) != len("20060102T150405Z")+64 {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		r.URL.Path = strings.Replace(r.URL.Path, "/v1/repos/app/", "/v1/repos/app.git/", 1)
		git.ServeHTTP(w, r)
		return true
	})
	proxy := gittest.NewProxy(t, "http", "ada", "canary")
	proxy.Route(host+":443", strings.TrimPrefix(server.URL, "https://"))
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIACANARY", "AWS_SECRET_ACCESS_KEY": "secret-canary", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CA_BUNDLE": "",
	} {
		t.Setenv(name, value)
	}
	obj := create(t, "https://"+host+"/v1/repos/app", func(o *sourcev1.GitRepository) {
		o.Spec.SecretRef = &meta.LocalObjectReference{Name: "authority"}
		o.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"}
		o.Spec.Provider = sourcev1.GitProviderAWS
	})
	store(t, obj, "authority", map[string][]byte{"ca.crt": ca.PEM})
	store(t, obj, "proxy", map[string][]byte{"address": []byte(proxy.Address), "username": []byte("ada"), "password": []byte("canary")})
	until(t, obj, at(obj, "main@sha1:"+commit))
	mu.Lock()
	defer mu.Unlock()
	if len(users) == 0 || users[0] != "AKIACANARY" {
		t.Errorf("logged in as %v", users)
	}
}

// TestGitRepositoryOfCloudsWithoutIdentity: nobody here is anybody at a cloud, and objects may name nobody.
func TestGitRepositoryOfCloudsWithoutIdentity(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		provider, url, account, reason, text string
		stalls                               bool
	}{
		"another host": {"aws", "https://example.com/app.git", "", "AuthenticationFailed", "not a repository of AWS", false},
		"an account":   {"azure", "https://dev.azure.com/acme/apps/_git/app", "deployer", "FeatureGateDisabled", "spec.serviceAccountName", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := create(t, tc.url, func(o *sourcev1.GitRepository) {
				o.Spec.Provider, o.Spec.ServiceAccountName = tc.provider, tc.account
			})
			until(t, obj, failing(obj, tc.reason, tc.text))
			stalled := hasCondition(obj, meta.StalledCondition, metav1.ConditionTrue, tc.reason, "")
			if (stalled == nil) != tc.stalls {
				t.Errorf("conditions: %+v", obj.Status.Conditions)
			}
		})
	}
}

// TestGitExamplesAreValid: the API server takes each example as it is written.
func TestGitExamplesAreValid(t *testing.T) {
	t.Parallel()
	examplesAreValid(t, "git-*.yaml")
}
