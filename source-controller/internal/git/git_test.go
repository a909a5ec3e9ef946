package git_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// poll asks a repository and fetches what a reference names, as a reconcile does.
func poll(t *testing.T, clone *git.Clone, url string, ref *sourcev1.GitRepositoryRef, cred git.Credentials) (plan.Target, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	s, err := git.NewClient(git.DefaultLimits()).Open(url, cred)
	if err != nil {
		return plan.Target{}, err
	}
	defer s.Close()
	target, err := advertised(ctx, s, ref)
	if err != nil {
		return target, err
	}
	return target, clone.Fetch(ctx, s, target)
}

// advertised is what a reference names now.
func advertised(ctx context.Context, s *git.Session, ref *sourcev1.GitRepositoryRef) (plan.Target, error) {
	adv, err := s.Advertise(ctx)
	if err != nil {
		return plan.Target{}, err
	}
	target, problem := plan.Resolve(ref, adv)
	if problem != nil {
		return target, problem
	}
	return target, nil
}

func newClone(t *testing.T) (*git.Clone, string) {
	t.Helper()
	dir := t.TempDir()
	cache, err := git.OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	clone, err := cache.Clone(t.Context(), git.Upstream{Namespace: "team", URL: "https://example.com/repo"}, "uid")
	if err != nil {
		t.Fatal(err)
	}
	return clone, dir
}

func paths(t *testing.T, clone *git.Clone, commit string) string {
	t.Helper()
	snapshot, err := clone.Snapshot(commit)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	err = snapshot.Walk(t.Context(), func(e pack.Entry) error {
		all = append(all, e.Path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func TestFetchBringsIncrements(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	first := repo.Commit("one", map[string]string{"a.yaml": "a: 1\n", "dir/big": gittest.Random(100_000)})
	clone, dir := newClone(t)
	main := &sourcev1.GitRepositoryRef{Branch: "main"}

	target, err := poll(t, clone, repo.URL, main, git.Credentials{})
	if err != nil || target.Commit != first {
		t.Fatalf("first fetch: %v, %v", target, err)
	}
	second := repo.Commit("two", map[string]string{"b.yaml": "b: 2\n"})
	if target, err = poll(t, clone, repo.URL, main, git.Credentials{}); err != nil || target.Commit != second {
		t.Fatalf("second fetch: %v, %v", target, err)
	}
	if got, want := paths(t, clone, second), "a.yaml b.yaml dir dir/big"; got != want {
		t.Errorf("paths: got %q, want %q", got, want)
	}
	packs, err := filepath.Glob(filepath.Join(dir, "*", "objects", "pack", "*.pack"))
	if err != nil || len(packs) != 2 {
		t.Fatalf("packs: %v, %v", packs, err)
	}
	small := 0
	for _, p := range packs {
		if info, err := os.Stat(p); err != nil {
			t.Error(err)
		} else if info.Size() < 2000 {
			small++
		}
	}
	if small != 1 {
		t.Errorf("of the packs %v, %d are small: the second has what the first has", packs, small)
	}

	repo.Git("checkout", "--quiet", "--orphan", "rewritten")
	forced := repo.Commit("forced", map[string]string{"c.yaml": "c: 3\n"})
	repo.Push("HEAD:main")
	if target, err = poll(t, clone, repo.URL, main, git.Credentials{}); err != nil || target.Commit != forced {
		t.Fatalf("fetch after a force push: %v, %v", target, err)
	}
	if got, want := paths(t, clone, forced), "a.yaml b.yaml c.yaml dir dir/big"; got != want {
		t.Errorf("paths: got %q, want %q", got, want)
	}
}

func TestFetchByCommit(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		config string
		ref    func(old string) sourcev1.GitRepositoryRef
	}{
		"server gives any commit": {
			reason: "GitHub and GitLab advertise this; the commit comes alone",
			config: "true",
			ref:    func(old string) sourcev1.GitRepositoryRef { return sourcev1.GitRepositoryRef{Commit: old} },
		},
		"server gives tips only": {
			reason: "the commit is then looked for in all history",
			config: "false",
			ref:    func(old string) sourcev1.GitRepositoryRef { return sourcev1.GitRepositoryRef{Commit: old} },
		},
		"on a branch": {
			reason: "the commit is then looked for in the branch's history",
			config: "false",
			ref: func(old string) sourcev1.GitRepositoryRef {
				return sourcev1.GitRepositoryRef{Commit: old, Branch: "main"}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := gittest.New(t)
			repo := server.Repo(t, "app")
			repo.Configure("uploadpack.allowReachableSHA1InWant", tc.config)
			old := repo.Commit("one", map[string]string{"a": "1"})
			repo.Commit("two", map[string]string{"b": "2"})
			clone, _ := newClone(t)
			ref := tc.ref(old)
			if _, err := poll(t, clone, repo.URL, &ref, git.Credentials{}); err != nil {
				t.Fatalf("%v (%s)", err, tc.reason)
			}
			if got := paths(t, clone, old); got != "a" {
				t.Errorf("paths: got %q, want a (%s)", got, tc.reason)
			}
			ref.Commit = strings.Repeat("ab", 20)
			server.Requests()
			if _, err := poll(t, clone, repo.URL, &ref, git.Credentials{}); !errors.Is(err, git.ErrNoCommit) {
				t.Errorf("a commit that is not there: %v", err)
			}
			if asked := server.Requests(); len(asked) != 2 {
				t.Errorf("for a commit that is not there, it asked %v; the history does not come to an end everywhere", asked)
			}
		})
	}
}

func TestSubjectIsShort(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	commit := repo.Commit("\xff subject "+strings.Repeat("x", 100_000), map[string]string{"a": "1"})
	clone, _ := newClone(t)
	if _, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{Branch: "main"}, git.Credentials{}); err != nil {
		t.Fatal(err)
	}
	snapshot, err := clone.Snapshot(commit)
	if err != nil || len(snapshot.Subject) > 200 || !utf8.ValidString(snapshot.Subject) {
		t.Errorf("%v, the subject is %q", err, snapshot.Subject)
	}
}

func TestFetchTags(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	first := repo.Commit("one", map[string]string{"a": "1"})
	repo.Git("tag", "--annotate", "--message", "release", "v1.0.0")
	repo.Commit("two", map[string]string{"b": "2"})
	repo.Git("tag", "v1.1.0-rc.1")
	repo.Push("--tags")
	clone, _ := newClone(t)
	target, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{SemVer: ">=1.0.0"}, git.Credentials{})
	if err != nil || target.Revision != "v1.0.0@sha1:"+first {
		t.Fatalf("annotated tag: %+v, %v", target, err)
	}
	if got := paths(t, clone, first); got != "a" {
		t.Errorf("paths: got %q", got)
	}
}

// TestTagOfSomethingElse is about tags that lead to no commit, as a few old repositories have them.
func TestTagOfSomethingElse(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	first := repo.Commit("one", map[string]string{"a": "1"})
	repo.Git("tag", "--annotate", "--message", "first", "v1.0.0")
	repo.Git("tag", "--annotate", "--message", "of a tag", "v1.0.1", "v1.0.0")
	repo.Git("tag", "v1.1.0", "HEAD^{tree}")
	repo.Git("tag", "--annotate", "--message", "of a file", "v1.2.0", "HEAD:a")
	repo.Push("--tags")
	clone, _ := newClone(t)
	for name, tc := range map[string]struct{ reason, semver, want string }{
		"tree":       {"the tag is named, and what to do", "1.1.x", "is a tree, and refs/tags/v1.1.0 points at it"},
		"file":       {"also if there is a tag object between", "1.2.x", "is a blob, and refs/tags/v1.2.0 points at it"},
		"tag of tag": {"it leads to a commit in the end", "1.0.x", ""},
	} {
		target, err := poll(t, clone, repo.URL, &sourcev1.GitRepositoryRef{SemVer: tc.semver}, git.Credentials{})
		switch {
		case tc.want == "" && (err != nil || target.Commit != first):
			t.Errorf("%s (%s): %+v, %v", name, tc.reason, target, err)
		case tc.want != "" && (!errors.Is(err, git.ErrNoCommit) || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s (%s): error %v, want %q", name, tc.reason, err, tc.want)
		}
	}
}

func TestErrorsForUsers(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-canary"
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1"})
	empty := server.Repo(t, "empty")
	cred, err := git.ParseCredentials("https://example.com/x", map[string][]byte{"username": []byte("ada"), "password": []byte(secret)})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		url     string
		disturb gittest.Disturbance
		protect bool
		want    error
		text    string
	}{
		"no such repository":    {url: server.URL + "/nothing.git", want: git.ErrNotFound, text: "spec.url"},
		"empty":                 {url: empty.URL, want: git.ErrEmpty, text: "first commit"},
		"wrong password":        {url: repo.URL, protect: true, want: git.ErrAuthentication, text: "spec.secretRef"},
		"forbidden":             {url: repo.URL, disturb: gittest.Status(http.StatusForbidden), want: git.ErrAuthentication, text: "403"},
		"broken server":         {url: repo.URL, disturb: gittest.Status(http.StatusBadGateway), text: "HTTP 502"},
		"a web page":            {url: repo.URL, disturb: gittest.Status(http.StatusOK), text: "as a git server does"},
		"nobody listens":        {url: "http://127.0.0.1:1/app.git", text: "connection refused"},
		"no such host":          {url: "http://host.invalid/app.git", text: "cannot find the host host.invalid"},
		"a pack that is cut":    {url: repo.URL, disturb: gittest.Truncate(http.MethodPost, 60), want: git.ErrBroken, text: "halfway"},
		"references are cut":    {url: repo.URL, disturb: gittest.Truncate(http.MethodGet, 60), want: git.ErrBroken, text: "halfway"},
		"references stop":       {url: repo.URL, disturb: stops, want: git.ErrBroken, text: "halfway"},
		"a refused fetch":       {url: repo.URL, disturb: refuses, want: git.ErrRefused, text: "may have changed meanwhile"},
		"redirect to elsewhere": {url: repo.URL, disturb: elsewhere, text: "redirect refused"},
		"a page to log in":      {url: repo.URL, disturb: loginPage, text: "to a page that is no repository"},
	} {
		t.Run(name, func(t *testing.T) {
			server.Disturb(tc.disturb)
			if tc.protect {
				server.Protect("ada", "another")
				defer server.Protect("", "")
			}
			clone, dir := newClone(t)
			_, err := poll(t, clone, tc.url, &sourcev1.GitRepositoryRef{Branch: "main"}, cred)
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %q", err, tc.text)
			}
			if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "text of the server")) {
				t.Errorf("the message tells too much: %v", err)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func elsewhere(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
	http.Redirect(w, r, "http://elsewhere.invalid/app.git/info/refs?service=git-upload-pack", http.StatusFound)
	return true
}

func loginPage(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
	http.Redirect(w, r, "/login?text+of+the+server", http.StatusFound)
	return true
}

// stops sends one reference, and ends as if that were all.
func stops(w http.ResponseWriter, r *http.Request, git http.Handler) bool {
	rec := httptest.NewRecorder()
	git.ServeHTTP(rec, r)
	all, more, _ := strings.Cut(rec.Body.String(), "refs/heads/main\n")
	_, err := io.WriteString(w, all+"refs/heads/main\n")
	return more != "" || err == nil
}

// refuses answers a fetch as git does when a branch has moved since it was listed.
func refuses(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
	if r.Method != http.MethodPost {
		return false
	}
	const text = "ERR upload-pack: not our ref; text of the server"
	_, err := fmt.Fprintf(w, "%04x%s", len(text)+4, text)
	return err == nil
}

func TestHungServerEndsInTime(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	server.Disturb(gittest.Hang)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s, err := git.NewClient(git.DefaultLimits()).Open(repo.URL, git.Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Advertise(ctx); !errors.Is(err, git.ErrTimeout) {
		t.Errorf("got %v", err)
	}
}

func TestS14ServersThatSendTooMuch(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("one", map[string]string{"a": strings.Repeat("many different bytes 0123456789", 9)})
	for name, limit := range map[string]func(*git.Limits){
		"advertisement": func(l *git.Limits) { l.Advertisement = 20 },
		"pack":          func(l *git.Limits) { l.Pack = 40 },
		"objects":       func(l *git.Limits) { l.Objects = 2 },
		"object":        func(l *git.Limits) { l.Object = 200 },
		"content":       func(l *git.Limits) { l.Content = 300 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := git.DefaultLimits()
			limit(&limits)
			s, err := git.NewClient(limits).Open(repo.URL, git.Credentials{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			clone, _ := newClone(t)
			adv, err := s.Advertise(t.Context())
			if err == nil {
				target, _ := plan.Resolve(&sourcev1.GitRepositoryRef{Branch: "main"}, adv)
				err = clone.Fetch(t.Context(), s, target)
			}
			if !errors.Is(err, git.ErrTooLarge) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPrivateAuthority(t *testing.T) {
	t.Parallel()
	server, tls := gittest.NewTLS(t)
	repo := server.Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1"})
	clone, _ := newClone(t)
	ref := &sourcev1.GitRepositoryRef{Branch: "main"}
	if _, err := poll(t, clone, repo.URL, ref, git.Credentials{}); err == nil || !strings.Contains(err.Error(), "ca.crt") {
		t.Errorf("without the authority: %v", err)
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw})
	cred, err := git.ParseCredentials("https://example.com/x", map[string][]byte{"ca.crt": authority})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := poll(t, clone, repo.URL, ref, cred); err != nil {
		t.Errorf("with the authority: %v", err)
	}
}

func TestDamagedCloneIsFetchedAgain(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1"})
	clone, dir := newClone(t)
	ref := &sourcev1.GitRepositoryRef{Branch: "main"}
	if _, err := poll(t, clone, repo.URL, ref, git.Credentials{}); err != nil {
		t.Fatal(err)
	}
	indexes, err := filepath.Glob(filepath.Join(dir, "*", "objects", "pack", "*.idx"))
	if err != nil || len(indexes) != 1 {
		t.Fatal(indexes, err)
	}
	if err := os.Remove(indexes[0]); err != nil {
		t.Fatal(err)
	}
	second := repo.Commit("two", map[string]string{"b": "2"})
	if _, err := poll(t, clone, repo.URL, ref, git.Credentials{}); err != nil {
		t.Fatal(err)
	}
	if got := paths(t, clone, second); got != "a b" {
		t.Errorf("paths: got %q", got)
	}
}

func mainBranch() *sourcev1.GitRepositoryRef { return &sourcev1.GitRepositoryRef{Branch: "main"} }
