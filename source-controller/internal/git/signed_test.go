package git_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify"
)

// TestSignedObjects holds that what is taken apart is what git signs, and that the parts fit.
func TestSignedObjects(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	pgp, ssh := gittest.NewPGP(t, nil), gittest.NewSSHKey(t)
	keys, err := verify.Parse(map[string][]byte{"a.asc": pgp.Public(), "a.sshpub": ssh.Public()})
	if err != nil {
		t.Fatal(err)
	}
	repo.Commit("unsigned", map[string]string{"a": "1"})
	repo.Git("tag", "--annotate", "--message", "unsigned\n\nwith a line\n-----BEGIN of something\n", "v0.1.0")
	repo.Push("--tags")
	byPGP := repo.SignedCommit("by PGP", map[string]string{"b": "1"}, pgp.Sign)
	repo.SignedTag("v1.0.0", byPGP, pgp.Sign)
	bySSH := repo.GitSignedCommit("by git itself", map[string]string{"c": "1"}, ssh)
	repo.SignedTag("v1.1.0", bySSH, ssh.Sign)
	for name, tc := range map[string]struct {
		tag            string
		commit, signed bool
	}{
		"not signed": {tag: "v0.1.0"},
		"PGP":        {tag: "v1.0.0", commit: true, signed: true},
		"SSH":        {tag: "v1.1.0", commit: true, signed: true},
	} {
		t.Run(name, func(t *testing.T) {
			clone, _ := newClone(t)
			target, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Tag: tc.tag}, git.Credentials{})
			if err != nil {
				t.Fatal(err)
			}
			commit, err := clone.SignedCommit(target.Commit)
			if err != nil {
				t.Fatal(err)
			}
			tag, err := clone.SignedTag(target.Object, target.Ref, target.Commit)
			if err != nil {
				t.Fatal(err)
			}
			for what, signed := range map[string]git.Signed{"commit": commit, "tag": tag} {
				if (signed.Signature != "") != tc.signed {
					t.Errorf("%s: the signature is %q", what, signed.Signature)
				} else if _, err := keys.Verify(signed.Signature, signed.Content, time.Now()); (err == nil) != tc.signed {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// TestTagOfAKnownCommit: the tag's object is fetched also if the clone has its commit.
func TestTagOfAKnownCommit(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	commit := repo.Commit("one", map[string]string{"a": "1"})
	clone, _ := newClone(t)
	if _, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Branch: "main"}, git.Credentials{}); err != nil {
		t.Fatal(err)
	}
	repo.SignedTag("v1.0.0", commit, gittest.NewSSHKey(t).Sign)
	target, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Tag: "v1.0.0"}, git.Credentials{})
	if err != nil || target.Commit != commit {
		t.Fatal(target, err)
	}
	if _, err := clone.SignedTag(target.Object, target.Ref, target.Commit); err != nil {
		t.Error(err)
	}
}

// TestS28ObjectsAreReadInOneWay: what could be read in two ways, of which a signature covers one, is refused.
func TestS28ObjectsAreReadInOneWay(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	ssh := gittest.NewSSHKey(t)
	for name, tc := range map[string]struct {
		reason string
		change func(raw, other string) string
		want   string
	}{
		"two trees": {"go-git and git take another one", func(raw, other string) string {
			return strings.Replace(raw, "\nauthor", "\ntree "+other+"\nauthor", 1)
		}, `"tree" 2 times`},
		"two signatures": {"one is of another content", func(raw, _ string) string {
			signed := gittest.SignCommit(raw, ssh.Sign)
			return gittest.SignCommit(signed, ssh.Sign)
		}, `"gpgsig" 2 times`},
		"two signatures, other case": {"some readers do not tell cases apart", func(raw, _ string) string {
			return strings.Replace(gittest.SignCommit(raw, ssh.Sign), "\ncommitter", "\nGPGSIG x\ncommitter", 1)
		}, `"gpgsig" 2 times`},
		"signature for other hashes": {"it would not be of this content", func(raw, _ string) string {
			return strings.Replace(raw, "\ncommitter", "\ngpgsig-sha256 x\ncommitter", 1)
		}, "another format of hashes"},
		"NUL in a header": {"some readers stop there", func(raw, _ string) string {
			return strings.Replace(raw, "Ada", "A\x00da", 1)
		}, "NUL"},
		"NUL in the message": {"some readers stop there", func(raw, _ string) string { return raw + "\x00" }, "NUL"},
		"two authors": {"which of them signed?", func(raw, _ string) string {
			return strings.Replace(raw, "\ncommitter", "\nauthor Eve <eve@example.com> 1767225600 +0000\ncommitter", 1)
		}, `"author" 2 times`},
		"no message": {"the headers have no end", func(raw, _ string) string {
			headers, _, _ := strings.Cut(raw, "\n\n")
			return headers + "\n"
		}, ""},
		"a header without a name": {"", func(raw, _ string) string {
			return strings.Replace(raw, "\ncommitter", "\nx\ncommitter", 1)
		}, "no name and value"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := server.Repo(t, strings.NewReplacer(" ", "-", ",", "").Replace(name))
			repo.Commit("other", map[string]string{"evil": "1"})
			other := repo.Git("rev-parse", "HEAD^{tree}")
			raw := repo.RawCommit("subject", map[string]string{"good": "1"})
			repo.Push(repo.Object("commit", tc.change(raw, other)) + ":refs/heads/odd")
			clone, _ := newClone(t)
			target, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Branch: "odd"}, git.Credentials{})
			if err == nil {
				_, err = clone.SignedCommit(target.Commit)
			}
			if !errors.Is(err, git.ErrAmbiguous) && !errors.Is(err, git.ErrCorrupt) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q: %s", err, tc.want, tc.reason)
			}
		})
	}
}

// TestS28TagsAreReadInOneWay is the same for tags, which in addition have to be what the reference says.
func TestS28TagsAreReadInOneWay(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	ssh := gittest.NewSSHKey(t)
	for name, tc := range map[string]struct {
		reason string
		change func(raw, old string) string
		want   string
	}{
		"another name": {"an old release under a new name", func(_, old string) string {
			old = gittest.RawTag("v0.1.0", old)
			return old + ssh.Sign([]byte(old))
		}, "the tag of another name"},
		"two signatures": {"which of them counts?", func(raw, _ string) string {
			raw += ssh.Sign([]byte(raw))
			return raw + ssh.Sign([]byte(raw))
		}, "more than one signature"},
		"more headers": {"nobody writes them", func(raw, _ string) string {
			return strings.Replace(raw, "\n\n", "\ngpgsig x\n\n", 1)
		}, "not those of a tag"},
		"NUL": {"some readers stop there", func(raw, _ string) string { return raw + "\x00" }, "NUL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := server.Repo(t, strings.ReplaceAll(name, " ", "-"))
			old := repo.Commit("old", map[string]string{"a": "1"})
			commit := repo.Commit("new", map[string]string{"a": "2"})
			object := repo.Object("tag", tc.change(gittest.RawTag("v1.0.0", commit), old))
			clone, _ := newClone(t)
			repo.Push(object + ":refs/tags/v1.0.0")
			target, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Tag: "v1.0.0"}, git.Credentials{})
			if err == nil {
				_, err = clone.SignedTag(target.Object, target.Ref, target.Commit)
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q: %s", err, tc.want, tc.reason)
			}
		})
	}
	t.Run("a tag of a tag", func(t *testing.T) {
		t.Parallel()
		repo := server.Repo(t, "nested")
		inner := repo.SignedTag("v0.1.0", repo.Commit("one", map[string]string{"a": "1"}), ssh.Sign)
		raw := strings.Replace(gittest.RawTag("v1.0.0", inner), "type commit", "type tag", 1)
		repo.Push(repo.Object("tag", raw+ssh.Sign([]byte(raw))) + ":refs/tags/v1.0.0")
		clone, _ := newClone(t)
		target, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Tag: "v1.0.0"}, git.Credentials{})
		if err == nil {
			_, err = clone.SignedTag(target.Object, target.Ref, target.Commit)
		}
		if err == nil || !strings.Contains(err.Error(), "not a tag of commit") {
			t.Errorf("got %v", err)
		}
	})
}
