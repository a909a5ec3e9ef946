package git_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

// TestCertificates: authorities and certificates of the object's own, and what is said when they do not fit.
func TestCertificates(t *testing.T) {
	t.Parallel()
	ca, other := gittest.NewAuthority(t), gittest.NewAuthority(t)
	const host = "127.0.0.1"
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-24*time.Hour)
	open, mutual := ca.Serve(t, host, tomorrow, false), ca.Serve(t, host, tomorrow, true)
	elsewhere, old := ca.Serve(t, "example.com", tomorrow, false), ca.Serve(t, host, yesterday, false)
	pair := func(a *gittest.Authority, ends time.Time) map[string]string {
		cert, key := a.Issue(t, "client", ends)
		return map[string]string{"ca.crt": string(ca.PEM), "tls.crt": string(cert), "tls.key": string(key)}
	}
	for name, tc := range map[string]struct {
		server *gittest.Server
		secret map[string]string
		text   string
	}{
		"an authority":            {open, map[string]string{"ca.crt": string(ca.PEM)}, ""},
		"by its older name":       {open, map[string]string{"caFile": string(ca.PEM)}, ""},
		"another authority":       {open, map[string]string{"ca.crt": string(other.PEM)}, "unknown authority; put the authority into ca.crt of spec.secretRef"},
		"a certificate":           {mutual, pair(ca, tomorrow), ""},
		"of another authority":    {mutual, pair(other, tomorrow), "refuses the certificate in tls.crt of spec.secretRef"},
		"that has ended":          {mutual, pair(ca, yesterday), "refuses the certificate in tls.crt of spec.secretRef"},
		"none":                    {mutual, map[string]string{"ca.crt": string(ca.PEM)}, "may want a certificate"},
		"a server's for another":  {elsewhere, map[string]string{"ca.crt": string(ca.PEM)}, "is not valid for it"},
		"a server's that is over": {old, map[string]string{"ca.crt": string(ca.PEM)}, "has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := tc.server.Repo(t, strings.ReplaceAll(name, " ", "-"))
			repo.Commit("one", map[string]string{"a": "1"})
			clone, _ := newClone(t)
			_, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Branch: "main"}, parse(t, tc.secret))
			if (err == nil) != (tc.text == "") || err != nil && !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %q", err, tc.text)
			}
		})
	}
}

// TestProxies: each kind of proxy brings https and ssh to a host that only the proxy knows, with a login of its own.
func TestProxies(t *testing.T) {
	t.Parallel()
	ca := gittest.NewAuthority(t)
	secure, shell := ca.Serve(t, "git.invalid", time.Now().Add(time.Hour), false), gittest.NewSSH(t)
	for _, repo := range []*gittest.Repo{secure.Repo(t, "app"), shell.Repo(t, "app")} {
		repo.Commit("one", map[string]string{"a": "1"})
	}
	secret := shell.Secret()
	_, key, _ := strings.Cut(string(shell.KnownHosts()), " ")
	secret["known_hosts"] = []byte("git.invalid " + key)
	main := &sourcev1.GitRepositoryRef{Branch: "main"}
	for _, scheme := range []string{"http", "socks5"} {
		proxy := gittest.NewProxy(t, scheme, "ada", "canary")
		proxy.Route("git.invalid:443", strings.TrimPrefix(secure.URL, "https://"))
		proxy.Route("git.invalid:22", shell.Address)
		for address, cred := range map[string]git.Credentials{
			"https://git.invalid/app.git":   parse(t, map[string]string{"ca.crt": string(ca.PEM)}),
			"ssh://git@git.invalid/app.git": login(t, secret),
		} {
			t.Run(scheme+" to "+address[:5], func(t *testing.T) {
				clone, _ := newClone(t)
				cred.Proxy = proxyAt(t, strings.Replace(proxy.Address, "://", "://ada:canary@", 1))
				if _, err := poll(t, clone, address, main, cred); err != nil || proxy.Used() == 0 {
					t.Errorf("got %v", err)
				}
				cred.Proxy = proxyAt(t, strings.Replace(proxy.Address, "://", "://ada:other-canary@", 1))
				_, err := poll(t, clone, address, main, cred)
				if err == nil || !strings.Contains(err.Error(), "the proxy in spec.proxySecretRef refuses") || strings.Contains(err.Error(), "canary") {
					t.Errorf("with another login: %v", err)
				}
				cred.Proxy.URL = nil
				if _, err := poll(t, clone, address, main, cred); err == nil || !strings.Contains(err.Error(), "cannot find the host") {
					t.Errorf("without the proxy: %v", err)
				}
			})
		}
	}
}

// TestOtherHashesAreRefused: a repository that names objects by SHA-256 is told from one that is broken.
func TestOtherHashesAreRefused(t *testing.T) {
	t.Parallel()
	over, shell := gittest.New(t), gittest.NewSSH(t)
	for name, repo := range map[string]*gittest.Repo{
		"over HTTP": over.RepoOf(t, "app", "sha256"), "over SSH": shell.RepoOf(t, "app", "sha256"),
	} {
		cred := git.Credentials{}
		if strings.HasPrefix(repo.URL, "ssh://") {
			cred = login(t, shell.Secret())
		}
		repo.Commit("one", map[string]string{"a": "1"})
		clone, _ := newClone(t)
		_, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Branch: "main"}, cred)
		if !errors.Is(err, git.ErrRefused) || !strings.Contains(err.Error(), "SHA-256") || !strings.Contains(err.Error(), "--object-format=sha1") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestS07NothingOfThisMachineIsUsed: neither a key, an agent, a configuration nor a program of the user that the controller
// runs as, nor what git itself would read there.
func TestS07NothingOfThisMachineIsUsed(t *testing.T) {
	server, over := gittest.NewSSH(t), gittest.New(t)
	repo, other := server.Repo(t, "app"), over.Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1"})
	other.Commit("one", map[string]string{"a": "1"})
	over.Protect("ada", "canary")
	secret := server.Secret()
	secret["identity"] = gittest.NewKey(t)
	stranger, right := login(t, secret), login(t, server.Secret())

	home := t.TempDir()
	ran, agent := filepath.Join(home, "ran"), filepath.Join(home, "agent")
	calls := gittest.Count(t, "unix", agent)
	touch := "#!/bin/sh\ntouch " + ran + "\n"
	for name, content := range map[string]string{
		".ssh/id_ed25519": string(server.Identity), ".ssh/known_hosts": string(server.KnownHosts()),
		".ssh/config": "Host *\n  ProxyCommand touch " + ran + "\n  IdentityFile " + home + "/.ssh/id_ed25519\n",
		".netrc":      "machine 127.0.0.1 login ada password canary\n",
		".gitconfig":  "[core]\n\tsshCommand = touch " + ran + "\n[credential]\n\thelper = \"!touch " + ran + "\"\n",
		"ssh":         touch,
	} {
		file := filepath.Join(home, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(content), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	for variable, value := range map[string]string{
		"HOME": home, "SSH_AUTH_SOCK": agent, "GIT_SSH": filepath.Join(home, "ssh"), "GIT_ASKPASS": filepath.Join(home, "ssh"),
		"GIT_SSH_COMMAND": "touch " + ran, "PATH": home + ":" + os.Getenv("PATH"),
	} {
		t.Setenv(variable, value)
	}
	ref := &sourcev1.GitRepositoryRef{Branch: "main"}
	clone, _ := newClone(t)
	for name, cred := range map[string]git.Credentials{"a key that is not let in": stranger, "no key": {}} {
		if _, err := poll(t, clone, repo.URL, ref, cred); !errors.Is(err, git.ErrAuthentication) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := poll(t, clone, other.URL, ref, git.Credentials{}); !errors.Is(err, git.ErrAuthentication) {
		t.Errorf("without a login, over HTTP: got %v", err)
	}
	if _, err := poll(t, clone, repo.URL, ref, right); err != nil {
		t.Errorf("with the right key: %v", err)
	}
	if _, err := os.Stat(ran); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was run: %v", err)
	}
	if n := calls(); n > 0 {
		t.Errorf("the agent was asked %d times", n)
	}
}

// TestS01AddressesAreNoCommands: whatever a path is, the server gets it as one word.
func TestS01AddressesAreNoCommands(t *testing.T) {
	t.Parallel()
	server := gittest.NewSSH(t)
	cred := login(t, server.Secret())
	for path, want := range map[string]string{
		"/app.git":             `'/app.git'`,
		"/~ada/app.git":        `'~ada/app.git'`,
		"/a%20b.git":           `'/a b.git'`,
		"/it's.git":            `'/it'\''s.git'`,
		"/';touch%20x;'":       `'/'\'';touch x;'\'''`,
		"/$(touch%20x)`id`":    "'/$(touch x)`id`'",
		"/--upload-pack=touch": `'/--upload-pack=touch'`,
		"/wow!.git":            `'/wow'\!'.git'`,
		"/a%0Atouch%20x":       "'/a\ntouch x'",
		"/org/team/app.git/":   `'/org/team/app.git'`,
	} {
		clone, _ := newClone(t)
		_, err := poll(t, clone, server.URL+path, &sourcev1.GitRepositoryRef{Branch: "main"}, cred)
		if !errors.Is(err, git.ErrNotFound) {
			t.Errorf("%s: got %v", path, err)
		}
		if _, commands := server.Connections(); !slices.Equal(commands, []string{"git-upload-pack " + want}) {
			t.Errorf("%s: it sent %q, want %q", path, commands, want)
		}
	}
}

// TestS25CredentialsStayOnTheirHost: no kind of them goes to another host, another port, or off TLS.
func TestS25CredentialsStayOnTheirHost(t *testing.T) {
	t.Parallel()
	ca := gittest.NewAuthority(t)
	here := ca.Serve(t, "127.0.0.1", time.Now().Add(time.Hour), false)
	visits := make(chan string, 100)
	spy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visits <- fmt.Sprint(r.Header["Authorization"], r.Header["Cookie"], r.TLS != nil && len(r.TLS.PeerCertificates) > 0)
		w.WriteHeader(http.StatusNotFound)
	})
	plain := httptest.NewServer(spy)
	t.Cleanup(plain.Close)
	secure := ca.Handler(t, "127.0.0.1", spy)
	cert, key := ca.Issue(t, "client", time.Now().Add(time.Hour))
	for name, secret := range map[string]map[string]string{
		"a password":    {"username": "ada", "password": "canary"},
		"a token":       {"bearerToken": "canary"},
		"a certificate": {"tls.crt": string(cert), "tls.key": string(key)},
		"nothing":       {},
	} {
		secret["ca.crt"] = string(ca.PEM)
		for to, url := range map[string]string{"the other port": secure, "plain http": plain.URL} {
			here.Disturb(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				http.SetCookie(w, &http.Cookie{Name: "session", Value: "canary"})
				http.Redirect(w, r, url+"/app.git/info/refs?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
				return true
			})
			clone, _ := newClone(t)
			_, err := poll(t, clone, here.URL+"/app.git", &sourcev1.GitRepositoryRef{Branch: "main"}, parse(t, secret))
			allowed := name == "nothing" && to == "the other port"
			if err == nil || strings.Contains(err.Error(), "redirect refused") == allowed || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s to %s: got %v", name, to, err)
			}
			select {
			case carried := <-visits:
				if !allowed || carried != "[] [] false" {
					t.Errorf("%s to %s: it came there with %s", name, to, carried)
				}
			default:
				if allowed {
					t.Errorf("%s to %s: nobody came", name, to)
				}
			}
		}
	}
}

// TestF34RedirectsComeToAnEnd: five in a row are followed, and no more.
func TestF34RedirectsComeToAnEnd(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	server.Repo(t, "app").Commit("one", map[string]string{"a": "1"})
	server.Disturb(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		var left int
		if n, err := fmt.Sscanf(r.URL.Path, "/hop%d/", &left); n != 1 || err != nil {
			return false
		}
		to := "/app.git"
		if left > 1 {
			to = fmt.Sprintf("/hop%d", left-1)
		}
		http.Redirect(w, r, to+"/info/refs?"+r.URL.RawQuery, http.StatusFound)
		return true
	})
	for _, hops := range []int{5, 6} {
		clone, _ := newClone(t)
		_, err := poll(t, clone, fmt.Sprintf("%s/hop%d", server.URL, hops), &sourcev1.GitRepositoryRef{Branch: "main"}, git.Credentials{})
		if (err == nil) != (hops == 5) || err != nil && !strings.Contains(err.Error(), "more than 5 in a row") {
			t.Errorf("%d redirects: got %v", hops, err)
		}
	}
}
