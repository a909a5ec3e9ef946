package git_test

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

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
)

// recurse fetches a branch with its submodules, and lists what is in it.
func recurse(t *testing.T, clone *git.Clone, repo *gittest.Repo, m git.Modules) (string, error) {
	t.Helper()
	target, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Branch: "main"}, m.Credentials)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := clone.Snapshot(target.Commit)
	if err != nil {
		t.Fatal(err)
	}
	m.Address = repo.URL
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	if _, err := clone.Recurse(ctx, snapshot, m); err != nil {
		return "", err
	}
	var all []string
	err = snapshot.Walk(ctx, func(e pack.Entry) error {
		if e.Open != nil {
			content, _, err := e.Open()
			if err != nil {
				return err
			}
			if err := content.Close(); err != nil {
				return err
			}
		}
		all = append(all, e.Path)
		return nil
	})
	return strings.Join(all, " "), err
}

func online() git.Modules { return git.Modules{Client: git.NewClient(git.DefaultLimits())} }

func TestSubmodules(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	inner, lib, fleet := server.Repo(t, "inner"), server.Repo(t, "lib"), server.Repo(t, "fleet")
	innerAt := inner.Commit("one", map[string]string{"deep": "1"})
	lib.Submodule("vendor/inner", "../inner.git", innerAt)
	libAt := lib.Commit("one", map[string]string{"b": "1", "dir/c": "1"})
	fleet.Submodule("libs/lib", lib.URL, libAt)
	fleet.Submodule("twice", "../lib.git", libAt)
	fleet.Commit("one", map[string]string{"a": "1"})
	clone, dir := newClone(t)
	const want = ".gitmodules a libs libs/lib libs/lib/.gitmodules libs/lib/b libs/lib/dir libs/lib/dir/c libs/lib/vendor libs/lib/vendor/inner " +
		"libs/lib/vendor/inner/deep twice twice/.gitmodules twice/b twice/dir twice/dir/c twice/vendor twice/vendor/inner twice/vendor/inner/deep"
	if got, err := recurse(t, clone, fleet, online()); err != nil || got != want {
		t.Fatalf("got %q, %v", got, err)
	}

	server.Requests()
	if got, err := recurse(t, clone, fleet, git.Modules{}); err != nil || got != want || len(server.Requests()) != 1 {
		t.Errorf("again, of which nothing is new: %q, %v", got, err)
	}

	libAt = lib.Commit("two", map[string]string{"b": "", "d": "2"})
	fleet.Submodule("libs/lib", lib.URL, libAt)
	fleet.Commit("two", nil)
	server.Requests()
	got, err := recurse(t, clone, fleet, online())
	if err != nil || !strings.Contains(got, "libs/lib/d") || strings.Contains(got, "libs/lib/b ") || !strings.Contains(got, "twice/b") {
		t.Errorf("one has moved: %q, %v", got, err)
	}
	if asked := server.Requests(); len(asked) != 4 {
		t.Errorf("it asked %v, for one commit each of two repositories", asked)
	}

	long := time.Now().Add(-48 * time.Hour)
	old := filepath.Join(dir, filepath.Base(cloneDir(t, dir))+"-0123456789abcdef")
	if err := errors.Join(os.Mkdir(old, 0o700), os.Chtimes(old, long, long)); err != nil {
		t.Fatal(err)
	}
	if _, err := recurse(t, clone, fleet, online()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the clone of a submodule that is none stays: %v", err)
	}
	if err := clone.Remove(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// cloneDir is the folder of the one clone in a cache.
func cloneDir(t *testing.T, dir string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	shortest := all[0]
	for _, name := range all {
		if len(name) < len(shortest) {
			shortest = name
		}
	}
	return shortest
}

func TestSubmodulesOfSomeFolders(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	lib, fleet := server.Repo(t, "lib"), server.Repo(t, "fleet")
	at := lib.Commit("one", map[string]string{"b": "1"})
	fleet.Submodule("apps/lib", "../lib.git", at)
	fleet.Submodule("other/gone", "../gone.git", at)
	fleet.Commit("one", map[string]string{"apps/a": "1"})
	clone, _ := newClone(t)
	m := online()
	m.Wanted = pack.Wanted([]string{"./apps"})
	if got, err := recurse(t, clone, fleet, m); err != nil || !strings.Contains(got, "apps/lib/b") {
		t.Errorf("got %q, %v: what is not packed need not be there", got, err)
	}
}

// TestS25SubmodulesOfAnotherHost: the credentials of a repository go to its own host alone.
func TestS25SubmodulesOfAnotherHost(t *testing.T) {
	t.Parallel()
	own, other := gittest.New(t), gittest.New(t)
	fleet, near, far := own.Repo(t, "fleet"), own.Repo(t, "near"), other.Repo(t, "far")
	nearAt, farAt := near.Commit("one", map[string]string{"n": "1"}), far.Commit("one", map[string]string{"f": "1"})
	fleet.Submodule("near", "../near.git", nearAt)
	fleet.Submodule("far", far.URL, farAt)
	fleet.Commit("one", nil)
	own.Protect("ada", "canary-password")
	var sent []string
	other.Disturb(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		sent = append(sent, r.Header.Get("Authorization"))
		return false
	})
	m := online()
	m.Credentials = basic(t, "ada", "canary-password")
	clone, _ := newClone(t)
	if got, err := recurse(t, clone, fleet, m); err != nil || !strings.Contains(got, "near/n") || !strings.Contains(got, "far/f") {
		t.Errorf("got %q, %v", got, err)
	}
	if len(sent) == 0 || strings.Join(sent, "") != "" {
		t.Errorf("the other host saw %q", sent)
	}
	other.Protect("eve", "another")
	second := far.Commit("two", map[string]string{"f": "2"})
	fleet.Submodule("far", far.URL, second)
	fleet.Commit("two", nil)
	_, err := recurse(t, clone, fleet, m)
	if !errors.Is(err, git.ErrAuthentication) || !strings.Contains(err.Error(), `submodule "far"`) ||
		!strings.Contains(err.Error(), strings.TrimPrefix(other.URL, "http://")) || !strings.Contains(err.Error(), "spec.include") {
		t.Errorf("got %v", err)
	}
}

// TestS07HostileSubmodules: a submodule that is not what it should be fails the fetch, with its path, and reaches nothing.
func TestS07HostileSubmodules(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	lib := server.Repo(t, "lib")
	at := lib.Commit("one", map[string]string{"b": "1"})
	absent := strings.Repeat("ab", 20)
	for name, tc := range map[string]struct {
		reason string
		setup  func(r *gittest.Repo)
		want   string
	}{
		"file":            {"the controller's own files", func(r *gittest.Repo) { r.Submodule("lib", "file:///etc", at) }, `submodule "lib": its url has the scheme "file"`},
		"program":         {"git would run it", func(r *gittest.Repo) { r.Submodule("lib", "ext::sh", at) }, "its url is no address"},
		"option":          {"ssh would take it for one", func(r *gittest.Repo) { r.Submodule("lib", "ssh://-oProxyCommand=x/y", at) }, `submodule "lib": its url`},
		"out of the host": {"", func(r *gittest.Repo) { r.Submodule("lib", "../../../../x", at) }, "leads out of the host"},
		"no such commit":  {"it was not pushed", func(r *gittest.Repo) { r.Submodule("lib", "../lib.git", absent) }, `submodule "lib": commit not found: ` + absent},
		"no repository":   {"its host is named", func(r *gittest.Repo) { r.Submodule("lib", "../gone.git", at) }, ": repository not found"},
		"twice": {"of which one counts for some readers", func(r *gittest.Repo) {
			r.Submodule("lib", "../lib.git", at)
			r.Write(map[string]string{".gitmodules": "[submodule \"a\"]\npath = lib\nurl = ../lib.git\n[submodule \"b\"]\npath = lib\nurl = ../x\n"})
		}, `has "lib" twice`},
		"broken list": {"it is said", func(r *gittest.Repo) {
			r.Write(map[string]string{".gitmodules": "[submodule"})
		}, ".gitmodules cannot be read"},
		"endless list": {"bounded", func(r *gittest.Repo) {
			r.Write(map[string]string{".gitmodules": strings.Repeat("#\n", 200_000)})
		}, "more than 262144 bytes"},
		"itself, for ever": {"each commit has the one before it inside", func(r *gittest.Repo) {
			for range 12 {
				r.Submodule("self", r.URL, r.Commit("again", nil))
			}
		}, "more than 10 deep"},
		"very many": {"bounded", func(r *gittest.Repo) {
			for i := range 101 {
				r.Submodule("lib"+strings.Repeat("x", i), "../lib.git", at)
			}
		}, "more than 100 submodules"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := server.Repo(t, strings.NewReplacer(" ", "-", ",", "").Replace(name))
			tc.setup(repo)
			repo.Commit("hostile", map[string]string{"a": "1"})
			clone, _ := newClone(t)
			if _, err := recurse(t, clone, repo, online()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q: %s", err, tc.want, tc.reason)
			}
		})
	}
	t.Run("a list that is a link", func(t *testing.T) {
		t.Parallel()
		repo := server.Repo(t, "link")
		repo.Commit("one", map[string]string{"target": "/etc/passwd"})
		tree := repo.Object("tree", treeEntry(t, "120000", ".gitmodules", repo.Git("rev-parse", "HEAD:target")))
		repo.Push(repo.Git("commit-tree", tree, "-m", "hostile") + ":refs/heads/main")
		clone, _ := newClone(t)
		if _, err := recurse(t, clone, repo, online()); !errors.Is(err, pack.ErrHostile) || !strings.Contains(err.Error(), ".gitmodules is no file") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a path out of the repository", func(t *testing.T) {
		t.Parallel()
		repo := server.Repo(t, "outside")
		repo.Write(map[string]string{".gitmodules": "[submodule \"x\"]\npath = ../../x\nurl = ../lib.git\n[submodule \"y\"]\npath = a\nurl = ../lib.git\n"})
		repo.Commit("hostile", map[string]string{"a": "1"})
		clone, _ := newClone(t)
		if got, err := recurse(t, clone, repo, online()); err != nil || got != ".gitmodules a" {
			t.Errorf("got %q, %v: what is no submodule in the tree is none", got, err)
		}
	})
}

func basic(t *testing.T, user, password string) git.Credentials {
	t.Helper()
	cred, err := git.ParseCredentials("https://example.com/x", map[string][]byte{"username": []byte(user), "password": []byte(password)})
	if err != nil {
		t.Fatal(err)
	}
	return cred
}
