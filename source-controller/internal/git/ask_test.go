package git_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

// clock is a time that moves when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}

// asking is a repository that is asked by many.
type asking struct {
	t      *testing.T
	server *gittest.Server
	repo   *gittest.Repo
	clock  *clock
	asks   *git.Asks
	client *git.Client
}

func newAsking(t *testing.T) *asking {
	t.Helper()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1"})
	c := &clock{now: time.Unix(1000, 0)}
	return &asking{t: t, server: server, repo: repo, clock: c, asks: &git.Asks{Clock: c.read}, client: git.NewClient(git.DefaultLimits())}
}

func (a *asking) ask(ctx context.Context, u git.Upstream, since time.Time) (*git.Answer, error) {
	return a.asks.Ask(ctx, u, since, false, func(context.Context) (*git.Session, error) {
		return a.client.Open(a.repo.URL, git.Credentials{})
	})
}

func (a *asking) must(since time.Time) *git.Answer {
	a.t.Helper()
	answer, err := a.ask(a.t.Context(), git.Upstream{Namespace: "a"}, since)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer
}

// TestAnswersAreNoOlderThanAsked: who asks at a moment gets what was asked for at that moment, or later.
func TestAnswersAreNoOlderThanAsked(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	start := a.clock.read()
	first := a.must(start)
	a.clock.move(300 * time.Millisecond)
	for name, tc := range map[string]struct {
		since time.Time
		asks  int
	}{
		"seen before it was asked for": {start.Add(-time.Second), 0},
		"seen at that moment":          {start, 0},
		"seen later":                   {start.Add(time.Nanosecond), 1},
	} {
		a.server.Requests()
		answer := a.must(tc.since)
		if asked := a.server.Requests(); len(asked) != tc.asks || answer.Own != (tc.asks > 0) || answer.Refs["refs/heads/main"] == "" {
			t.Errorf("%s: it asked %v", name, asked)
		}
		answer.Close()
	}
	if _, err := first.Session.Advertise(t.Context()); err != nil {
		t.Errorf("a session that is held is closed: %v", err)
	}
	first.Close()
	first.Close() // more than once is no harm
	a.server.Requests()
	other, err := a.ask(t.Context(), git.Upstream{Namespace: "b"}, start)
	if err != nil || len(a.server.Requests()) != 1 {
		t.Errorf("another namespace shares the answer: %v", err)
	}
	other.Close()
}

// TestThoseWhoComeMeanwhileShareTheNextAnswer: while one asks, others want to know what is newer; they ask once, together.
func TestThoseWhoComeMeanwhileShareTheNextAnswer(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	entered, goOn := make(chan struct{}, 1), make(chan struct{})
	a.server.Disturb(func(http.ResponseWriter, *http.Request, http.Handler) bool {
		entered <- struct{}{}
		<-goOn
		return false
	})
	var all sync.WaitGroup
	all.Go(func() { a.must(a.clock.read()).Close() })
	<-entered
	late := a.clock.move(time.Millisecond)
	second := a.repo.Commit("two", map[string]string{"b": "2"})
	for range 10 {
		all.Go(func() {
			answer := a.must(late)
			if answer.Refs["refs/heads/main"] != second {
				t.Error("an answer is older than its question")
			}
			answer.Close()
		})
	}
	close(goOn)
	a.server.Disturb(nil)
	all.Wait()
	if asked := a.server.Requests(); len(asked) != 2 {
		t.Errorf("it asked %v", asked)
	}
}

// TestFailuresAreShared, but not that of one who had no more time: it says nothing about the server.
func TestFailuresAreShared(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	start := a.clock.read()
	a.server.Disturb(gittest.Status(http.StatusServiceUnavailable))
	for range 3 {
		if _, err := a.ask(t.Context(), git.Upstream{}, start); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("got %v", err)
		}
	}
	if asked := a.server.Requests(); len(asked) != 1 {
		t.Errorf("it asked %v", asked)
	}
	a.server.Disturb(gittest.Hang)
	hasty, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	late := a.clock.move(time.Second)
	if _, err := a.ask(hasty, git.Upstream{}, late); !errors.Is(err, git.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	a.server.Disturb(nil)
	answer, err := a.ask(t.Context(), git.Upstream{}, late)
	if err != nil || !answer.Own {
		t.Fatalf("got %v", err)
	}
	answer.Close()
	wanted := errors.New("no credentials")
	_, err = a.asks.Ask(t.Context(), git.Upstream{Namespace: "c"}, late, false, func(context.Context) (*git.Session, error) { return nil, wanted })
	if !errors.Is(err, wanted) {
		t.Errorf("got %v", err)
	}
}

// TestNoWaitBeyondTheContext: who waits for another one's answer has his own time.
func TestNoWaitBeyondTheContext(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	entered := make(chan struct{}, 1)
	a.server.Disturb(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		entered <- struct{}{}
		return gittest.Hang(w, r, next)
	})
	slow, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := a.ask(slow, git.Upstream{}, a.clock.read()); err == nil {
			t.Error("a server that hangs answers")
		}
	})
	<-entered
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.ask(ended, git.Upstream{}, a.clock.read()); !errors.Is(err, git.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	stop()
	all.Wait()
}

func TestClonesOfOneUpstream(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cache, err := git.OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1"})
	u := git.Upstream{Namespace: "team", URL: repo.URL, Secret: "git"}
	take := func(u git.Upstream, uid string) *git.Clone {
		t.Helper()
		clone, err := cache.Clone(t.Context(), u, uid)
		if err != nil {
			t.Fatal(err)
		}
		return clone
	}
	first := take(u, "a")
	if _, err := poll(t, first, repo.URL, nil, git.Credentials{}); err == nil {
		t.Fatal("the branch master is there")
	}
	commit, err := fetchMain(t, first, repo)
	if err != nil {
		t.Fatal(err)
	}

	waiting, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cache.Clone(waiting, u, "b"); !errors.Is(err, git.ErrTimeout) || !strings.Contains(err.Error(), "spec.timeout") {
		t.Errorf("two are at one clone: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := take(u, "b")
	if !second.Has(commit) || !cache.Shared(u) {
		t.Error("the other one has a clone of its own")
	}
	if err := errors.Join(second.Close(), cache.Remove("a")); err != nil {
		t.Fatal(err)
	}
	third := take(u, "b")
	if !third.Has(commit) || cache.Shared(u) {
		t.Error("it went with the first of those who use it")
	}
	elsewhere := u
	elsewhere.Namespace = "other"
	fourth := take(elsewhere, "c")
	if fourth.Has(commit) {
		t.Error("another namespace shares it")
	}
	moved := u
	moved.URL += "/"
	if moved.Key() != u.Key() {
		t.Error("a slash at the end makes it another one")
	}
	moved.URL = strings.Replace(u.URL, "://", "://canary-token@", 1)
	if moved.Key() != u.Key() {
		t.Error("a user name, which may be a token, has a part in the name of a folder")
	}
	for i, change := range []func(*git.Upstream){
		func(u *git.Upstream) { u.Secret = "other" }, func(u *git.Upstream) { u.Proxy = "git" }, func(u *git.Upstream) { u.Provider = "azure" },
		func(u *git.Upstream) { u.ServiceAccount = "x" }, func(u *git.Upstream) { u.URL += "x" },
	} {
		another := u
		if change(&another); another.Key() == u.Key() {
			t.Errorf("change %d makes no other one", i)
		}
	}
	another := u
	another.Secret = "other"
	if err := errors.Join(third.Close(), fourth.Close(), take(another, "b").Close()); err != nil {
		t.Fatal(err)
	}
	again := take(u, "d")
	if again.Has(commit) {
		t.Error("a clone stays that nobody uses")
	}
	if _, err := fetchMain(t, again, repo); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(again.Close(), cache.Keep(func(key string) bool { return key != u.Key() })); err != nil {
		t.Fatal(err)
	}
	last := take(u, "d")
	if last.Has(commit) {
		t.Error("a clone stays that is not live")
	}
	if err := last.Close(); err != nil {
		t.Fatal(err)
	}
}

func fetchMain(t *testing.T, clone *git.Clone, repo *gittest.Repo) (string, error) {
	t.Helper()
	target, err := poll(t, clone, repo.URL, mainBranch(), git.Credentials{})
	return target.Commit, err
}

// TestBurstIsOneQuestion: requests that come one after the other, before the repository is asked, are met by one answer.
func TestBurstIsOneQuestion(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	asks := &git.Asks{}
	u := git.Upstream{Namespace: "a", URL: a.repo.URL}
	var seen []time.Time
	for range 12 {
		asks.Expect(u)
		seen = append(seen, time.Now())
	}
	var all sync.WaitGroup
	for _, since := range seen {
		all.Go(func() {
			answer, err := asks.Ask(t.Context(), u, since, true, func(context.Context) (*git.Session, error) {
				return a.client.Open(a.repo.URL, git.Credentials{})
			})
			if err != nil {
				t.Error(err)
				return
			}
			answer.Close()
		})
	}
	all.Wait()
	if asked := a.server.Requests(); len(asked) != 1 {
		t.Errorf("it asked %v", asked)
	}
}
