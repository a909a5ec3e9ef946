package gitrepository_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/gitrepository"
	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// example is what a file in charts/sluice/examples/sources has: a GitRepository, and the Secrets that it names. It implements
// [client.Reader] for those.
type example struct {
	repository sourcev1.GitRepository
	secrets    map[string]*corev1.Secret
	issued     []string
}

func readExample(t *testing.T, file string) *example {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	e := &example{secrets: map[string]*corev1.Secret{}}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		switch {
		case strings.Contains(document, "\nkind: Secret\n"):
			var s corev1.Secret
			if err := yaml.UnmarshalStrict([]byte(document), &s); err != nil {
				t.Fatal(err)
			}
			s.Data = map[string][]byte{}
			for key, value := range s.StringData {
				s.Data[key] = []byte(value)
			}
			e.secrets[s.Name] = &s
		case strings.Contains(document, "\nkind: GitRepository\n"):
			if err := yaml.UnmarshalStrict([]byte(document), &e.repository); err != nil {
				t.Fatal(err)
			}
		}
	}
	return e
}

func (e *example) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	found, ok := e.secrets[key.Name]
	if to, isSecret := into.(*corev1.Secret); ok && isSecret {
		found.DeepCopyInto(to)
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
}

func (*example) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("nobody lists Secrets")
}

// fill replaces what a Secret of the example holds; a key that it does not have is a mistake.
func (e *example) fill(t *testing.T, name string, values map[string]string) {
	t.Helper()
	for key, value := range values {
		if _, ok := e.secrets[name].Data[key]; !ok {
			t.Fatalf("Secret %s has no %s", name, key)
		}
		e.secrets[name].Data[key] = []byte(value)
	}
}

// move puts the repository of the example on a server, with the path that it has.
func (e *example) move(t *testing.T, server *gittest.Server) {
	t.Helper()
	_, path, _ := strings.Cut(strings.TrimPrefix(e.repository.Spec.URL, "https://"), "/")
	repo := server.Repo(t, strings.TrimSuffix(path, ".git"))
	repo.Commit("one", map[string]string{"a.yaml": "a: 1\n"})
	repo.Git("tag", "v1.0.0")
	repo.Push("--tags")
	if e.repository.Spec.URL = server.URL + "/" + path; !strings.HasSuffix(path, ".git") {
		e.repository.Spec.URL += ".git" // as git's backend has it
	}
}

// The example is the clouds and GitHub, too.

func (e *example) Git(_ context.Context, provider string, s identity.Subject, _ string) (secret.Login, error) {
	e.issued = append(e.issued, strings.TrimSuffix(provider+" "+s.ServiceAccount, " "))
	return secret.Login{Username: "cloud", Password: "canary"}, nil
}

func (e *example) GitHubApp(_ context.Context, _ identity.Subject, data map[string][]byte, _ secret.TLS) (secret.Login, error) {
	e.issued = append(e.issued, "App "+string(data["githubAppID"])+" of "+string(data["githubAppInstallationOwner"]))
	return secret.Login{Username: "x-access-token", Password: "canary"}, nil
}

func (*example) Refused(string, string, string) {}

func (*example) Forget(string, string, string) {}

// TestExamples: every example makes an artifact, with its own spec and Secrets, from a server that lets nobody else in.
func TestExamples(t *testing.T) {
	t.Parallel()
	const folder = "../../../../charts/sluice/examples/sources/"
	ca := gittest.NewAuthority(t)
	tomorrow := time.Now().Add(24 * time.Hour)
	protected := func(t *testing.T, user string) *gittest.Server {
		server := gittest.New(t)
		server.Protect(user, "canary")
		return server
	}
	logins := map[string]struct {
		make   func(t *testing.T, e *example)
		issued string
	}{
		"git-public": {make: func(t *testing.T, e *example) { e.move(t, gittest.New(t)) }},
		"git-token": {make: func(t *testing.T, e *example) {
			e.move(t, protected(t, "git"))
			e.fill(t, "git-token", map[string]string{"password": "canary"})
		}},
		"git-bearer": {make: func(t *testing.T, e *example) {
			server := gittest.New(t)
			server.Disturb(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if r.Header.Get("Authorization") == "Bearer canary" {
					return false
				}
				w.WriteHeader(http.StatusUnauthorized)
				return true
			})
			e.move(t, server)
			e.fill(t, "git-bearer", map[string]string{"bearerToken": "canary"})
		}},
		"git-basic": {make: func(t *testing.T, e *example) {
			server := ca.Serve(t, "127.0.0.1", tomorrow, false)
			server.Protect("ada", "canary")
			e.move(t, server)
			e.fill(t, "git-basic", map[string]string{"password": "canary", "ca.crt": string(ca.PEM)})
		}},
		"git-ssh": {make: func(t *testing.T, e *example) {
			server := gittest.NewSSH(t)
			server.Repo(t, "fleet").Commit("one", map[string]string{"a.yaml": "a: 1\n"})
			e.repository.Spec.URL = server.URL + "/fleet.git"
			e.fill(t, "git-ssh", map[string]string{"identity": string(server.Identity), "known_hosts": string(server.KnownHosts())})
		}},
		"git-github-app": {issued: "App 123456 of acme", make: func(t *testing.T, e *example) { e.move(t, protected(t, "x-access-token")) }},
		"git-azure":      {issued: "azure", make: func(t *testing.T, e *example) { e.move(t, protected(t, "cloud")) }},
		"git-azure-serviceaccount": {issued: "azure fleet-reader", make: func(t *testing.T, e *example) {
			e.move(t, protected(t, "cloud"))
		}},
		"git-aws-codecommit": {issued: "aws", make: func(t *testing.T, e *example) { e.move(t, protected(t, "cloud")) }},
		"git-mtls": {make: func(t *testing.T, e *example) {
			e.move(t, ca.Serve(t, "127.0.0.1", tomorrow, true))
			cert, key := ca.Issue(t, "fleet", tomorrow)
			e.fill(t, "git-mtls", map[string]string{"tls.crt": string(cert), "tls.key": string(key), "ca.crt": string(ca.PEM)})
		}},
		"git-proxy": {make: func(t *testing.T, e *example) {
			server, proxy := protected(t, "git"), gittest.NewProxy(t, "socks5", "ada", "canary")
			proxy.Route("git.example.com:80", strings.TrimPrefix(server.URL, "http://"))
			e.move(t, server)
			e.repository.Spec.URL = strings.Replace(e.repository.Spec.URL, server.URL, "http://git.example.com", 1)
			e.fill(t, "git-proxy", map[string]string{"address": proxy.Address, "password": "canary"})
			e.fill(t, "git-proxy-login", map[string]string{"password": "canary"})
		}},
	}
	for name, tc := range logins {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := readExample(t, folder+name+".yaml")
			if p := plan.Validate(e.repository.Spec); p != nil {
				t.Fatalf("as it is written: %+v", p)
			}
			tc.make(t, e)
			out := e.attempt(t)
			if out.Problem != nil || !out.Stored || !out.Made {
				t.Errorf("%+v", out.Problem)
			}
			if got := strings.Join(e.issued, ", "); got != tc.issued {
				t.Errorf("logged in as %q, want %q", got, tc.issued)
			}
		})
	}
	found, err := filepath.Glob(folder + "git-*.yaml")
	if err != nil || len(found) < len(logins) {
		t.Errorf("%d examples: %v", len(found), err)
	}
	for _, file := range found {
		spec := readExample(t, file).repository.Spec
		_, tested := logins[strings.TrimSuffix(filepath.Base(file), ".yaml")]
		if content := spec.Verification != nil || spec.Include != nil || spec.RecurseSubmodules; !tested && !content {
			t.Errorf("%s is an example of a login that is not tested", file)
		}
	}
}

func (e *example) attempt(t *testing.T) gitrepository.Outcome {
	t.Helper()
	files, err := store.Open(t.TempDir(), store.Options{Address: "source.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	clones, err := git.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &gitrepository.Reconciler{
		Runner:  attempt.Runner[*sourcev1.GitRepository]{Store: files, Clock: time.Now},
		Secrets: secret.Reader{Live: e}, Identity: e, Git: git.NewClient(git.DefaultLimits()), Clones: clones,
		Limits: pack.Limits{Bytes: 1 << 20, Files: 100},
	}
	e.repository.UID = "uid"
	return r.Attempt(t.Context(), &e.repository, plan.Observed{})
}
