package store_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/sluice-gitops/sluice/api/fileserver"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// clock is a time that a test sets.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func open(t *testing.T, dir string, c *clock) *store.Store {
	t.Helper()
	s, err := store.Open(dir, store.Options{Address: "source.flux-system", TTL: time.Minute, Records: 2, Clock: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func write(t *testing.T, s *store.Store, file, content string) store.Written {
	t.Helper()
	w, err := s.Write(t.Context(), file, func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func list(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	sort.Strings(names)
	return strings.Join(names, " ")
}

func TestWriteAndVerify(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &clock{time.Now()})
	file := store.Path("GitRepository", "apps", "web", "1.tar.gz")
	got := write(t, s, file, "hello")
	want := store.Written{Digest: "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", Size: 5}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if link, err := os.Readlink(filepath.Join(dir, "gitrepository/apps/web/latest.tar.gz")); err != nil || link != "1.tar.gz" {
		t.Errorf("latest: %q, %v", link, err)
	}
	for path, mode := range map[string]os.FileMode{file: 0o600, "gitrepository/apps/web": 0o700 | os.ModeDir} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if ok, err := s.Verify(file, want.Digest); !ok || err != nil {
		t.Errorf("verify: %t, %v", ok, err)
	}
	if _, err := s.ReadVerified(file, "sha256:0"); !errors.Is(err, store.ErrDigest) {
		t.Errorf("another digest: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte("jello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Verify(file, want.Digest); ok || err != nil {
		t.Errorf("verify a damaged file: %t, %v", ok, err)
	}
	if ok, err := s.Verify(file, want.Digest); ok || err != nil || list(t, filepath.Join(dir, "gitrepository/apps/web")) != "latest.tar.gz" {
		t.Errorf("the damaged file stayed: %t, %v", ok, err)
	}
	if got := s.URL(file); got != "http://source.flux-system/gitrepository/apps/web/1.tar.gz" {
		t.Errorf("URL: %s", got)
	}
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &clock{time.Now()})
	write(t, s, "gitrepository/a/b/1.tar.gz", "good")
	broken := errors.New("upstream broke")
	_, err := s.Write(t.Context(), "gitrepository/a/b/1.tar.gz", func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(err, broken)
	})
	if !errors.Is(err, broken) || list(t, filepath.Join(dir, "gitrepository/a/b")) != "1.tar.gz latest.tar.gz" {
		t.Errorf("%v, left %s", err, list(t, filepath.Join(dir, "gitrepository/a/b")))
	}
	if content, err := os.ReadFile(filepath.Join(dir, "gitrepository/a/b/1.tar.gz")); string(content) != "good" {
		t.Errorf("the old file is %q, %v", content, err)
	}
}

func TestTemporaryNamesAreNotSaid(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &clock{time.Now()})
	_, err := s.Write(t.Context(), "gitrepository/a/b/1.tar.gz", func(io.Writer) error {
		temp, err := filepath.Glob(filepath.Join(dir, "gitrepository/a/b/.tmp-*"))
		if err != nil || len(temp) != 1 {
			t.Fatal(temp, err)
		}
		// A folder that is not empty cannot be removed as a file is.
		return errors.Join(os.Remove(temp[0]), os.MkdirAll(filepath.Join(temp[0], "x"), 0o700), errors.New("broken"))
	})
	if err == nil || strings.Contains(err.Error(), ".tmp-") {
		t.Errorf("got %v: a message with a random name is another one each time", err)
	}
}

func TestFailuresLeaveNothingAndAreSaidInTheSameWords(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &clock{time.Now()})
	write(t, s, "gitrepository/a/b/1.tar.gz", "good")
	large := gittest.Random(2 << 20)
	release := gittest.FullDisk(t, 1<<20)
	said := map[string]bool{}
	for range 50 {
		_, err := s.Write(t.Context(), "gitrepository/a/b/2.tar.gz", func(w io.Writer) error {
			_, err := io.WriteString(w, large)
			return err
		})
		if err == nil {
			t.Fatal("a full disk takes a file")
		}
		said[err.Error()] = true
	}
	if len(said) != 1 || !said["file too large"] {
		t.Errorf("said: %v", said)
	}
	if got := list(t, filepath.Join(dir, "gitrepository/a/b")); got != "1.tar.gz latest.tar.gz" {
		t.Errorf("left %q", got)
	}
	release()
	write(t, s, "gitrepository/a/b/2.tar.gz", large)
}

func TestCollect(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	for name, tc := range map[string]struct {
		reason string
		files  int
		after  time.Duration
		// said is what the status advertises.
		said string
		want string
	}{
		"one":            {reason: "the current file always stays", files: 1, after: time.Hour, want: "1 latest.tar.gz"},
		"just replaced":  {reason: "somebody may be reading the last one", files: 2, after: 0, want: "1 2 latest.tar.gz"},
		"expired":        {reason: "a minute is enough", files: 2, after: 2 * time.Minute, want: "2 latest.tar.gz"},
		"not said yet":   {reason: "the status could not be written for an hour", files: 3, after: time.Hour, said: "1", want: "1 3 latest.tar.gz"},
		"many at a time": {reason: "two are enough", files: 4, after: 0, want: "3 4 latest.tar.gz"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, c := t.TempDir(), &clock{start}
			s := open(t, dir, c)
			for i := range tc.files {
				// Every file is current for an hour; its time counts from when it no longer is.
				c.now = start.Add(time.Duration(i) * time.Hour)
				write(t, s, fmt.Sprintf("gitrepository/a/b/%d", i+1), "x")
			}
			c.now = c.now.Add(tc.after)
			if tc.files == 4 { // as if they had come within seconds
				for i := range tc.files {
					at := c.now.Add(time.Duration(i) * time.Second)
					if err := os.Chtimes(filepath.Join(dir, "gitrepository/a/b", fmt.Sprint(i+1)), at, at); err != nil {
						t.Fatal(err)
					}
				}
			}
			var said *meta.Artifact
			if tc.said != "" {
				said = &meta.Artifact{Path: "gitrepository/a/b/" + tc.said}
			}
			if _, err := s.Collect(fmt.Sprintf("gitrepository/a/b/%d", tc.files), said); err != nil {
				t.Fatal(err)
			}
			if got := list(t, filepath.Join(dir, "gitrepository/a/b")); got != tc.want {
				t.Errorf("left %q, want %q: %s", got, tc.want, tc.reason)
			}
		})
	}
}

func TestOpenClearsWhatAKilledProcessLeft(t *testing.T) {
	dir, c := t.TempDir(), &clock{time.Now()}
	s := open(t, dir, c)
	write(t, s, "gitrepository/a/b/1.tar.gz", "x")
	if _, _, _, err := s.Scratch(); err != nil {
		t.Fatal(err)
	}
	clones, err := s.Folder(".git-cache")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{filepath.Join(dir, "gitrepository/a/b/.tmp-abc"), filepath.Join(clones, ".tmp-notours")} {
		if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir, c)
	if got := list(t, filepath.Join(dir, "gitrepository/a/b")); got != "1.tar.gz latest.tar.gz" {
		t.Errorf("left %q", got)
	}
	if got := list(t, dir) + " " + list(t, clones); got != ".git-cache gitrepository .tmp-notours" {
		t.Errorf("left %q", got)
	}
}

func TestKeepAndDelete(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &clock{time.Now()})
	for _, name := range []string{"a/x", "a/y", "b/z"} {
		write(t, s, "gitrepository/"+name+"/1", "x")
	}
	if err := s.Keep("GitRepository", func(namespace, name string) bool { return namespace+"/"+name == "a/x" }); err != nil {
		t.Fatal(err)
	}
	if got := list(t, filepath.Join(dir, "gitrepository/a")) + "," + list(t, filepath.Join(dir, "gitrepository/b")); got != "x," {
		t.Errorf("left %q", got)
	}
	if err := s.Delete("GitRepository", "a", "x"); err != nil {
		t.Fatal(err)
	}
	if got := list(t, filepath.Join(dir, "gitrepository/a")); got != "" {
		t.Errorf("left %q", got)
	}
}

func TestHandler(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &clock{time.Now()})
	write(t, s, "gitrepository/a/b/1.tar.gz", "content")
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "gitrepository/a/b/escape")); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		method, path string
		status       int
	}{
		"file":         {http.MethodGet, "/gitrepository/a/b/1.tar.gz", http.StatusOK},
		"head":         {http.MethodHead, "/gitrepository/a/b/1.tar.gz", http.StatusOK},
		"latest":       {http.MethodGet, "/gitrepository/a/b/latest.tar.gz", http.StatusOK},
		"absent":       {http.MethodGet, "/gitrepository/a/b/2.tar.gz", http.StatusNotFound},
		"root":         {http.MethodGet, "/", http.StatusNotFound},
		"folder":       {http.MethodGet, "/gitrepository/a/b/", http.StatusNotFound},
		"folder too":   {http.MethodGet, "/gitrepository/a/b", http.StatusNotFound},
		"top file":     {http.MethodGet, "/secret", http.StatusNotFound},
		"up":           {http.MethodGet, "/gitrepository/a/../../secret", http.StatusNotFound},
		"up to four":   {http.MethodGet, "/gitrepository/../gitrepository/../secret", http.StatusNotFound},
		"link outside": {http.MethodGet, "/gitrepository/a/b/escape", http.StatusNotFound},
		"hidden":       {http.MethodGet, "/.git-cache/uid/objects/info", http.StatusNotFound},
		"post":         {http.MethodPost, "/gitrepository/a/b/1.tar.gz", http.StatusMethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			req := httptest.NewRequest(tc.method, "http://source/", nil)
			req.URL.Path = tc.path
			rec := httptest.NewRecorder()
			fileserver.Handler(s.Read).ServeHTTP(rec, req)
			if rec.Code != tc.status || strings.Contains(rec.Body.String(), "canary") {
				t.Errorf("status %d, want %d: %s", rec.Code, tc.status, rec.Body)
			}
		})
	}
}
