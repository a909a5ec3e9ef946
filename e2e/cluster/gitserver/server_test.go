package gitserver_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gitops/sluice/e2e/cluster/gitserver"
)

// client is the real git as a user runs it, without anybody's configuration.
func client(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func start(t *testing.T) (*gitserver.Server, *gitserver.Repo) {
	t.Helper()
	s, err := gitserver.Start(gitserver.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	repo, err := s.Repo(t.Context(), "team/app")
	if err != nil {
		t.Fatal(err)
	}
	return s, repo
}

func commit(t *testing.T, repo *gitserver.Repo, files map[string]*string, opts gitserver.CommitOptions) string {
	t.Helper()
	id, err := repo.Commit(t.Context(), "change", files, opts)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func content(s string) *string { return &s }

func TestCommitsAreClonedAsWritten(t *testing.T) {
	_, repo := start(t)
	commit(t, repo, map[string]*string{"a.yaml": content("one\n"), "dir/\"odd\" name": content("two"), "gone": content("")}, gitserver.CommitOptions{})
	id := commit(t, repo, map[string]*string{"gone": nil, "link": content("a.yaml")},
		gitserver.CommitOptions{Modes: map[string]string{"link": "120000"}})

	dir := filepath.Join(t.TempDir(), "clone")
	if out, err := client(t, "clone", "--quiet", repo.URL, dir); err != nil {
		t.Fatal(out)
	}
	if got, _ := client(t, "-C", dir, "rev-parse", "HEAD"); got != id {
		t.Errorf("HEAD is %s, want %s", got, id)
	}
	files, _ := client(t, "-C", dir, "-c", "core.quotePath=false", "ls-files", "-z")
	want := []string{"a.yaml", "dir/\"odd\" name", "link", ""}
	if diff := cmp.Diff(want, strings.Split(files, "\x00")); diff != "" {
		t.Error(diff)
	}
	if target, err := os.Readlink(filepath.Join(dir, "link")); err != nil || target != "a.yaml" {
		t.Errorf("link points to %q, %v", target, err)
	}
}

func TestEqualStepsGiveEqualCommits(t *testing.T) {
	_, one := start(t)
	_, two := start(t)
	files := map[string]*string{"f": content("x")}
	if a, b := commit(t, one, files, gitserver.CommitOptions{}), commit(t, two, files, gitserver.CommitOptions{}); a != b {
		t.Errorf("%s and %s differ", a, b)
	}
}

func TestRefsMove(t *testing.T) {
	ctx := t.Context()
	_, repo := start(t)
	first := commit(t, repo, map[string]*string{"f": content("1")}, gitserver.CommitOptions{})
	second := commit(t, repo, map[string]*string{"f": content("2")}, gitserver.CommitOptions{})
	rewritten := commit(t, repo, map[string]*string{"f": content("3")}, gitserver.CommitOptions{Parent: first})
	orphan := commit(t, repo, map[string]*string{"g": content("4")}, gitserver.CommitOptions{Branch: "other", Orphan: true})
	steps := []error{
		repo.Tag(ctx, "light", second),
		repo.AnnotatedTag(ctx, "v1.0.0", first, "release"),
		repo.Branch(ctx, "old", second),
		repo.Branch(ctx, "passing", second),
		repo.DeleteBranch(ctx, "passing"),
		repo.Tag(ctx, "passing", second),
		repo.DeleteTag(ctx, "passing"),
	}
	for _, err := range steps {
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := client(t, "ls-remote", "--heads", "--tags", repo.URL)
	if err != nil {
		t.Fatal(out)
	}
	got := map[string]string{}
	for line := range strings.Lines(out) {
		id, ref, _ := strings.Cut(strings.TrimSpace(line), "\t")
		got[ref] = id
	}
	tagObject, _ := client(t, "--git-dir", repo.Dir, "rev-parse", "v1.0.0")
	want := map[string]string{
		"refs/heads/main": rewritten, "refs/heads/other": orphan, "refs/heads/old": second,
		"refs/tags/light": second, "refs/tags/v1.0.0": tagObject, "refs/tags/v1.0.0^{}": first,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if out, _ := client(t, "--git-dir", repo.Dir, "rev-list", "--count", "main"); out != "2" {
		t.Errorf("main has %s commits, want 2", out)
	}
	if out, _ := client(t, "--git-dir", repo.Dir, "ls-tree", "--name-only", "other"); out != "g" {
		t.Errorf("an orphan holds %q, want only g", out)
	}
}

func TestPollIsOneAdvertisement(t *testing.T) {
	s, repo := start(t)
	commit(t, repo, map[string]*string{"f": content("1")}, gitserver.CommitOptions{})
	tests := map[string]struct {
		reason  string
		version string
		want    map[gitserver.Kind]int
	}{
		"v0": {"refs come with the advertisement", "0", map[gitserver.Kind]int{gitserver.Advertisement: 1}},
		"v2": {"refs are asked for", "2", map[gitserver.Kind]int{gitserver.Advertisement: 1, gitserver.ListRefs: 1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s.Forget()
			if out, err := client(t, "-c", "protocol.version="+test.version, "ls-remote", repo.URL); err != nil {
				t.Fatal(out)
			}
			if diff := cmp.Diff(test.want, s.Count(repo.Name)); diff != "" {
				t.Errorf("%s: %s", test.reason, diff)
			}
		})
	}
}

func TestPushAndFetchAreCounted(t *testing.T) {
	s, repo := start(t)
	commit(t, repo, map[string]*string{"f": content("1")}, gitserver.CommitOptions{})
	dir := filepath.Join(t.TempDir(), "clone")
	for _, args := range [][]string{
		{"clone", "--quiet", repo.URL, dir},
		{"-C", dir, "-c", "user.name=B", "-c", "user.email=b@example.com", "commit", "--quiet", "--allow-empty", "-m", "more"},
		{"-C", dir, "-c", "http.postBuffer=1", "push", "--quiet"}, // chunked
	} {
		if out, err := client(t, args...); err != nil {
			t.Fatalf("git %v: %s", args, out)
		}
	}
	counts := s.Count(repo.Name)
	if counts[gitserver.Fetch] != 1 || counts[gitserver.Push] < 2 {
		t.Errorf("counted %v, want one fetch and the advertisement and body of a push", counts)
	}
	if out, _ := client(t, "--git-dir", repo.Dir, "rev-list", "--count", "main"); out != "2" {
		t.Errorf("main has %s commits after the push, want 2", out)
	}
}

func TestLogin(t *testing.T) {
	s, repo := start(t)
	s.RequireLogin(repo.Name, "ada", "secret")
	tests := map[string]struct {
		reason string
		login  string
		ok     bool
	}{
		"none":  {"a private repository is not readable by everyone", "", false},
		"wrong": {"the password counts", "ada:wrong@", false},
		"right": {"these are the credentials", "ada:secret@", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			url := strings.Replace(repo.URL, "http://", "http://"+test.login, 1)
			if out, err := client(t, "ls-remote", url); (err == nil) != test.ok {
				t.Errorf("%s: %v %s", test.reason, err, out)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	tests := map[string]struct {
		reason string
		fault  gitserver.Fault
		says   string
	}{
		"status": {"a status replaces git's answer", gitserver.Fault{Status: http.StatusServiceUnavailable}, "503"},
		"hangup": {"nothing is answered", gitserver.Fault{Hangup: true}, "Empty reply"},
		"cut":    {"the answer ends early", gitserver.Fault{CutAfter: 20}, "fatal"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, repo := start(t)
			commit(t, repo, map[string]*string{"f": content("1")}, gitserver.CommitOptions{})
			test.fault.Times = 1
			s.Inject(test.fault)
			if out, err := client(t, "ls-remote", repo.URL); err == nil || !strings.Contains(out, test.says) {
				t.Errorf("%s: got %q, %v", test.reason, out, err)
			}
			if out, err := client(t, "ls-remote", repo.URL); err != nil {
				t.Errorf("the fault was for one request, and the second fails too: %s", out)
			}
		})
	}
}

func TestDelayEndsWithTheClient(t *testing.T) {
	s, repo := start(t)
	remove := s.Inject(gitserver.Fault{Delay: time.Hour, Repo: repo.Name, Kind: gitserver.Advertisement})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, repo.URL+"/info/refs?service=git-upload-pack", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Error("an answer came in spite of the delay")
	}
	remove()
	if out, err := client(t, "ls-remote", repo.URL); err != nil {
		t.Errorf("the fault is removed and the request fails: %s", out)
	}
}
