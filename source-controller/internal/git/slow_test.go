package git_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	gossh "golang.org/x/crypto/ssh"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// attempt polls as a reconcile does, within a time, with limits.
func attempt(t *testing.T, clone *git.Clone, url string, within time.Duration, limits git.Limits) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return attemptWith(ctx, clone, url, git.Credentials{}, limits)
}

func attemptWith(ctx context.Context, clone *git.Clone, url string, cred git.Credentials, limits git.Limits) error {
	s, err := git.NewClient(limits).Open(url, cred)
	if err != nil {
		return err
	}
	defer s.Close()
	adv, err := s.Advertise(ctx)
	if err != nil {
		return err
	}
	target, problem := plan.Resolve(&sourcev1.GitRepositoryRef{Branch: "main"}, adv)
	if problem != nil {
		return problem
	}
	return clone.Fetch(ctx, s, target)
}

func TestF35SlowServersEndInTime(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]gittest.Disturbance{
		"nothing at all":              gittest.Hang,
		"hangs after the header":      gittest.HangAfter(0),
		"hangs halfway":               gittest.HangAfter(100),
		"a byte of references a time": gittest.Drip(http.MethodGet, 50*time.Millisecond),
		"a byte of the pack a time":   gittest.Drip(http.MethodPost, 50*time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := gittest.New(t)
			repo := server.Repo(t, "app")
			commit := repo.Commit("one", map[string]string{"a": "1"})
			server.Disturb(disturb)
			clone, dir := newClone(t)
			if err := attempt(t, clone, repo.URL, 400*time.Millisecond, git.DefaultLimits()); !errors.Is(err, git.ErrTimeout) {
				t.Errorf("got %v", err)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			server.Disturb(nil)
			if err := attempt(t, clone, repo.URL, time.Minute, git.DefaultLimits()); err != nil || !clone.Has(commit) {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestF35PausesEndSoonerThanTime: a server that stops while it sends is given up before all the time is gone.
func TestF35PausesEndSoonerThanTime(t *testing.T) {
	t.Parallel()
	limits := git.DefaultLimits()
	limits.Idle = 300 * time.Millisecond
	over, secure := gittest.New(t), gittest.NewSSH(t)
	over.Disturb(gittest.HangAfter(100))
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	secure.Disturb(func(_ string, channel gossh.Channel) bool {
		_, _ = io.WriteString(channel, "0040") // there is more to come
		<-end
		return true
	})
	httpRepo, sshRepo := over.Repo(t, "app"), secure.Repo(t, "app")
	httpRepo.Commit("one", map[string]string{"a": "1"})
	sshRepo.Commit("one", map[string]string{"a": "1"})
	for url, cred := range map[string]git.Credentials{httpRepo.URL: {}, sshRepo.URL: login(t, secure.Secret())} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		clone, _ := newClone(t)
		err := attemptWith(ctx, clone, url, cred, limits)
		if !errors.Is(err, git.ErrTimeout) || !strings.Contains(err.Error(), "stopped sending for 300ms") || ctx.Err() != nil {
			t.Errorf("%s: got %v", url, err)
		}
		cancel()
	}
}

func TestEndlessAnswersAreCut(t *testing.T) {
	t.Parallel()
	limits := git.DefaultLimits()
	limits.Advertisement, limits.Pack = 1<<20, 1<<20
	for name, disturb := range map[string]gittest.Disturbance{
		"references": gittest.Endless(http.MethodGet, "application/x-git-upload-pack-advertisement",
			strings.Repeat("ab", 20)+" refs/heads/"+strings.Repeat("x", 200)+"\n"),
		"progress": gittest.Endless(http.MethodPost, "application/x-git-upload-pack-result", "\x02counting objects\r"),
		"data":     gittest.Endless(http.MethodPost, "application/x-git-upload-pack-result", "\x01"+strings.Repeat("x", 900)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := gittest.New(t)
			repo := server.Repo(t, "app")
			repo.Commit("one", map[string]string{"a": "1"})
			server.Disturb(disturb)
			clone, dir := newClone(t)
			err := attempt(t, clone, repo.URL, 20*time.Second, limits)
			if err == nil || errors.Is(err, git.ErrTimeout) {
				t.Errorf("got %v", err)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestFullDiskIsSaidInTheSameWords(t *testing.T) {
	repo := gittest.New(t).Repo(t, "app")
	commit := repo.Commit("one", map[string]string{"a": gittest.Random(2 << 20)})
	clone, dir := newClone(t)
	release := gittest.FullDisk(t, 1<<20)
	var said [2]string
	for i := range said {
		err := attempt(t, clone, repo.URL, 20*time.Second, git.DefaultLimits())
		if !errors.Is(err, git.ErrStorage) || !strings.Contains(err.Error(), "file too large") {
			t.Fatalf("got %v", err)
		}
		said[i] = err.Error()
	}
	if said[0] != said[1] || strings.Contains(said[0], dir) {
		t.Errorf("first %q, then %q", said[0], said[1])
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	release()
	if err := attempt(t, clone, repo.URL, time.Minute, git.DefaultLimits()); err != nil || !clone.Has(commit) {
		t.Errorf("with room again: %v", err)
	}
}

func TestRepositoryThatIsMadeAnew(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	clone, _ := newClone(t)
	for _, content := range []string{"old", "older"} {
		repo.Commit(content, map[string]string{"a": content, "b": content})
		if err := attempt(t, clone, repo.URL, time.Minute, git.DefaultLimits()); err != nil {
			t.Fatal(err)
		}
	}
	repo.Forget()
	repo.Git("checkout", "--quiet", "--orphan", "anew")
	repo.Git("rm", "--quiet", "-r", "--force", ".")
	repo.Write(map[string]string{"c": "new"})
	repo.Git("add", "--all")
	repo.Git("commit", "--quiet", "--message", "anew")
	repo.Push("HEAD:main")
	if err := attempt(t, clone, repo.URL, time.Minute, git.DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	if got := paths(t, clone, repo.Git("rev-parse", "HEAD")); got != "c" {
		t.Errorf("paths: %q", got)
	}
}
