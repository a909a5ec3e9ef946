package git_test

import (
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
)

// treeEntry is one entry of a tree object as git stores it.
func treeEntry(t *testing.T, mode, name, hash string) string {
	t.Helper()
	raw, err := hex.DecodeString(hash)
	if err != nil {
		t.Fatal(err)
	}
	return mode + " " + name + "\x00" + string(raw)
}

func TestS07HostileTreesAreRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason  string
		entries func(t *testing.T, blob, tree string) string
	}{
		"parent": {"a file beside the folder it is unpacked in", func(t *testing.T, blob, _ string) string {
			return treeEntry(t, "100644", "..", blob)
		}},
		"parent folder": {"a whole folder there", func(t *testing.T, _, tree string) string {
			return treeEntry(t, "40000", "..", tree)
		}},
		"path as a name": {"a name that is a path", func(t *testing.T, blob, _ string) string {
			return treeEntry(t, "100644", "../../etc/passwd", blob)
		}},
		"git folder": {"configuration of the consumer's git", func(t *testing.T, _, tree string) string {
			return treeEntry(t, "40000", ".git", tree)
		}},
		"twice": {"a link and a folder of one name", func(t *testing.T, blob, tree string) string {
			return treeEntry(t, "120000", "x", blob) + treeEntry(t, "40000", "x", tree)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := gittest.New(t).Repo(t, "app")
			repo.Commit("one", map[string]string{"a": "1"})
			repo.Write(map[string]string{"raw": tc.entries(t, repo.Git("rev-parse", "HEAD:a"), repo.Git("rev-parse", "HEAD^{tree}"))})
			tree := repo.Git("hash-object", "-t", "tree", "-w", "--literally", "raw")
			commit := repo.Git("commit-tree", tree, "-m", "hostile")
			repo.Push(commit + ":refs/heads/hostile")

			clone, _ := newClone(t)
			target, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Branch: "hostile"}, git.Credentials{})
			if err != nil {
				t.Fatal(err)
			}
			snapshot, err := clone.Snapshot(target.Commit)
			if err != nil {
				t.Fatal(err)
			}
			limits := pack.Limits{Bytes: 1 << 20, Files: 100}
			err = pack.Write(t.Context(), io.Discard, snapshot, pack.Options{Limits: limits})
			if !errors.Is(err, pack.ErrHostile) && !errors.Is(err, git.ErrCorrupt) {
				t.Errorf("%s passes: %v", tc.reason, err)
			}
		})
	}
}

func TestTreeBombIsBounded(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1"})
	tree := repo.Git("rev-parse", "HEAD^{tree}")
	for range 20 { // ten to the twentieth files, out of twenty objects
		var raw string
		for _, name := range []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"} {
			raw += treeEntry(t, "40000", name, tree)
		}
		repo.Write(map[string]string{"raw": raw})
		tree = repo.Git("hash-object", "-t", "tree", "-w", "raw")
	}
	repo.Push(repo.Git("commit-tree", tree, "-m", "bomb") + ":refs/heads/bomb")
	clone, _ := newClone(t)
	target, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Branch: "bomb"}, git.Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := clone.Snapshot(target.Commit)
	if err != nil {
		t.Fatal(err)
	}
	limits := pack.Limits{Bytes: 1 << 20, Files: 1000}
	if err := pack.Write(t.Context(), io.Discard, snapshot, pack.Options{Limits: limits}); !errors.Is(err, pack.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestF1KilledFetchLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	first := repo.Commit("one", map[string]string{"a": "1"})
	clone, dir := newClone(t)
	ref := &sourcev1.GitRepositoryRef{Branch: "main"}
	if _, err := poll(t, clone, repo.URL, ref, git.Credentials{}); err != nil {
		t.Fatal(err)
	}
	existing, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(existing) != 1 {
		t.Fatal(existing, err)
	}
	// What a process leaves that is killed while it fetches: into a new clone, and into an old one.
	half := filepath.Join(existing[0], "objects", "pack", "tmp_pack_123")
	if err := errors.Join(os.WriteFile(half, []byte("PACK"), 0o600), os.Mkdir(existing[0]+".new-456", 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := git.OpenCache(dir); err != nil {
		t.Fatal(err)
	}
	repo.Commit("two", map[string]string{"b": "2"})
	if _, err := poll(t, clone, repo.URL, ref, git.Credentials{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an unfinished pack stayed: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 || !clone.Has(first) {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestParseCredentials(t *testing.T) {
	t.Parallel()
	type data = map[string][]byte
	for name, tc := range map[string]struct {
		data data
		ok   bool
	}{
		"basic":        {data{"username": []byte("a"), "password": []byte("canary")}, true},
		"token":        {data{"bearerToken": []byte("canary")}, true},
		"no password":  {data{"username": []byte("a")}, true},
		"no user":      {data{"password": []byte("canary")}, true},
		"nothing":      {data{"identity": []byte("canary")}, false},
		"bad CA":       {data{"ca.crt": []byte("canary")}, false},
		"bad key pair": {data{"tls.crt": []byte("canary"), "tls.key": []byte("canary")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cred, err := git.ParseCredentials("https://example.com/x", tc.data)
			if (err == nil) != tc.ok {
				t.Errorf("got %v", err)
			}
			if text := cred.String() + cred.GoString(); err != nil && text != "credentialscredentials" {
				t.Errorf("credentials print as %q", text)
			}
		})
	}
}
