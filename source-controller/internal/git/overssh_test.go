package git_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

func login(t *testing.T, secret map[string][]byte) git.Credentials {
	t.Helper()
	cred, err := git.ParseCredentials("ssh://git@example.com/x", secret)
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

// TestFetchOverSSH: a poll is one connection, and what is new comes over the same one, without what is there already.
func TestFetchOverSSH(t *testing.T) {
	t.Parallel()
	server := gittest.NewSSH(t)
	repo := server.Repo(t, "app")
	big := gittest.Random(200_000)
	first := repo.Commit("one", map[string]string{"a.yaml": "a: 1\n", "dir/big": big})
	clone, dir := newClone(t)
	main, cred := &sourcev1.GitRepositoryRef{Branch: "main"}, login(t, server.Secret())
	target, err := poll(t, clone, repo.URL, main, cred)
	if err != nil || target.Commit != first {
		t.Fatalf("first fetch: %+v, %v", target, err)
	}
	if n, commands := server.Connections(); n != 1 || !slices.Equal(commands, []string{"git-upload-pack '/app.git'"}) {
		t.Errorf("the first fetch took %d connections for %v", n, commands)
	}
	if _, err := poll(t, clone, repo.URL, main, cred); err != nil {
		t.Fatal(err)
	}
	if n, commands := server.Connections(); n != 1 || len(commands) != 1 {
		t.Errorf("a poll without news took %d connections for %v", n, commands)
	}
	second := repo.Commit("two", map[string]string{"b.yaml": "b: 2\n"})
	if target, err = poll(t, clone, repo.URL, main, cred); err != nil || target.Commit != second {
		t.Fatalf("second fetch: %+v, %v", target, err)
	}
	if n, commands := server.Connections(); n != 1 || len(commands) != 1 {
		t.Errorf("an increment took %d connections for %v", n, commands)
	}
	if got, want := paths(t, clone, second), "a.yaml b.yaml dir dir/big"; got != want {
		t.Errorf("paths: got %q, want %q", got, want)
	}
	packs, err := filepath.Glob(filepath.Join(dir, "*", "objects", "pack", "*.pack"))
	if err != nil || len(packs) != 2 {
		t.Fatalf("packs: %v, %v", packs, err)
	}
	if users := server.Users(); !slices.Equal(users, []string{"git", "git", "git"}) {
		t.Errorf("logged in as %v", users)
	}
}

// TestSecondFetchOverSSH: a process answers one fetch only.
func TestSecondFetchOverSSH(t *testing.T) {
	t.Parallel()
	server := gittest.NewSSH(t)
	repo := server.Repo(t, "app")
	old := repo.Commit("one", map[string]string{"a": "1"})
	repo.Commit("two", map[string]string{"b": "2"})
	clone, _ := newClone(t)
	cred := login(t, server.Secret())
	if _, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Commit: old}, cred); err != nil {
		t.Fatal(err)
	}
	if got := paths(t, clone, old); got != "a" {
		t.Errorf("paths: got %q", got)
	}
	_, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Commit: strings.Repeat("ab", 20)}, cred)
	if !errors.Is(err, git.ErrNoCommit) {
		t.Errorf("a commit that is not there: %v", err)
	}
}
