package git_test

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// childDir tells the process that is killed where it works; childURL what it follows.
const childDir, childURL = "SLUICE_TEST_DIR", "SLUICE_TEST_URL"

// TestMain is the process that is killed, if it is told to be.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := work(dir, os.Getenv(childURL)); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1) // it never ends by itself
	}
	os.Exit(m.Run())
}

// work fetches and stores a repository again and again, and says each step before it takes it.
func work(dir, url string) error {
	for {
		cache, err := git.OpenCache(filepath.Join(dir, "clones"))
		if err != nil {
			return err
		}
		files, err := store.Open(filepath.Join(dir, "files"), store.Options{Address: "x"})
		if err != nil {
			return err
		}
		if err := round(cache, files, url, func(step string) { fmt.Println(step) }); err != nil { //nolint:forbidigo // to the parent process
			return err
		}
		if err := files.Close(); err != nil {
			return err
		}
	}
}

// round is one attempt: a commit is fetched, and its tree stored.
func round(cache *git.Cache, files *store.Store, url string, say func(step string)) (err error) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	clone, err := cache.Clone(ctx, git.Upstream{Namespace: "a", URL: url}, "uid")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clone.Close()) }()
	s, err := git.NewClient(git.DefaultLimits()).Open(url, git.Credentials{})
	if err != nil {
		return err
	}
	defer s.Close()
	say("ask")
	target, err := advertised(ctx, s, mainBranch())
	if err != nil {
		return err
	}
	say("fetch")
	if err := clone.Fetch(ctx, s, target); err != nil {
		return err
	}
	snapshot, err := clone.Snapshot(target.Commit)
	if err != nil {
		return err
	}
	say("store")
	_, err = files.Write(ctx, "gitrepository/a/b/"+target.Commit+".tar.gz", func(w io.Writer) error {
		return pack.Write(ctx, w, snapshot, pack.Options{Limits: pack.Limits{Bytes: 1 << 30, Files: 1000}})
	})
	return err
}

// TestF1KillNineInALoop kills a process that fetches and stores, at each of its steps and shortly after, and wants that whatever
// it leaves is whole or swept at the next start, and that the next one goes on.
func TestF1KillNineInALoop(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	dir := t.TempDir()
	for i := range 24 {
		repo.Commit("next", map[string]string{"a": fmt.Sprint(i), "big": gittest.Random(300_000 + i)})
		killed(t, dir, repo.URL, i%5+1)
		swept(t, dir)
	}
	cache, files := opened(t, dir)
	if err := errors.Join(round(cache, files, repo.URL, func(string) {}), files.Close()); err != nil {
		t.Fatal(err)
	}
	latest, err := os.Readlink(filepath.Join(dir, "files", "gitrepository", "a", "b", store.Latest))
	if err != nil || latest != repo.Git("rev-parse", "HEAD")+".tar.gz" {
		t.Errorf("the latest is %s, %v", latest, err)
	}
}

// killed starts the process, and kills it after it has said a number of steps.
func killed(t *testing.T, dir, url string, steps int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childURL+"="+url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range steps {
		if !lines.Scan() {
			t.Errorf("it ended by itself: %v", lines.Err())
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("it was not killed: %v", err)
	}
}

func opened(t *testing.T, dir string) (*git.Cache, *store.Store) {
	t.Helper()
	cache, err := git.OpenCache(filepath.Join(dir, "clones"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := store.Open(filepath.Join(dir, "files"), store.Options{Address: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return cache, files
}

// swept opens what the killed process left, as the next one does, and fails if an artifact is not whole or something is left over.
func swept(t *testing.T, dir string) {
	t.Helper()
	_, files := opened(t, dir)
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.Contains(e.Name(), ".tmp-"), strings.Contains(e.Name(), ".new-"):
			return fmt.Errorf("%s is left over", e.Name())
		case e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".tar.gz"):
			return whole(file)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func whole(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	zr, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for tr := tar.NewReader(zr); ; {
		if _, err := tr.Next(); errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, zr)
			return err
		} else if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, tr); err != nil {
			return err
		}
	}
}

// TestF40FailingFetchesLeaveNothing: hundreds of attempts that fail, each in its own place, leave no file and no folder.
func TestF40FailingFetchesLeaveNothing(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	repo.Commit("one", map[string]string{"a": gittest.Random(20_000)})
	clone, dir := newClone(t)
	for i := range 150 {
		server.Disturb(gittest.Truncate("POST", 50+i*100))
		if _, err := poll(t, clone, repo.URL, mainBranch(), git.Credentials{}); err == nil {
			t.Fatalf("a pack that is cut off after %d bytes is taken", 50+i*100)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	server.Disturb(nil)
	if _, err := poll(t, clone, repo.URL, mainBranch(), git.Credentials{}); err != nil {
		t.Fatal(err)
	}
	repo.Commit("two", map[string]string{"b": gittest.Random(20_001)})
	for i := range 150 { // the same into a clone that is there
		server.Disturb(gittest.Truncate("POST", 50+i*100))
		if _, err := poll(t, clone, repo.URL, mainBranch(), git.Credentials{}); err == nil {
			t.Fatalf("a pack that is cut off after %d bytes is taken", 50+i*100)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "objects", "pack", "tmp_*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
