package store

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/api/fileserver"
)

var subject = Subject{Kind: "Kustomization", Namespace: "apps", Name: "web.prod"}

func newStore(t *testing.T) (opened *Store, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "renderings")
	opened, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened, dir
}

func put(t *testing.T, s *Store, text string) File {
	t.Helper()
	stored, err := s.Put(subject, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func TestPutKeepsTwo(t *testing.T) {
	s, dir := newStore(t)
	var stored []File
	for i, text := range []string{"one", "two", "three"} {
		stored = append(stored, put(t, s, text))
		old := time.Now().Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(filepath.Join(dir, stored[i].Path), old, old); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []bool{false, true, true} {
		if got := s.Has(subject, stored[i].Digest, stored[i].Size); got != want {
			t.Errorf("file %d is there: %v, want %v", i, got, want)
		}
	}
	if s.Has(subject, stored[2].Digest, 99) || s.Has(subject, "sha256:../x", 3) || s.Has(subject, "", 0) {
		t.Error("a file of another size or name counts as there")
	}
	info, err := os.Stat(filepath.Join(dir, stored[2].Path))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info, err)
	}
	if got, err := s.Subjects(); err != nil || len(got) != 1 || got[0] != (Subject{"kustomization", "apps", "web.prod"}) {
		t.Errorf("subjects %v, %v", got, err)
	}
	if err := s.Remove(subject); err != nil || s.Has(subject, stored[2].Digest, stored[2].Size) {
		t.Errorf("removed: %v", err)
	}
}

func TestPutLeavesNothingOfAFailure(t *testing.T) {
	s, dir := newStore(t)
	broken := errors.New("broken")
	_, err := s.Put(subject, func(w io.Writer) error { _, _ = io.WriteString(w, "half"); return broken })
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want the writer's", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*", "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	half := filepath.Join(dir, "kustomization", "apps", "web.prod", ".writing-1")
	if err := os.WriteFile(half, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file of an interrupted write is still there: %v", err)
	}
}

func TestPutRefusesNames(t *testing.T) {
	s, _ := newStore(t)
	for _, bad := range []Subject{{"Kustomization", "..", "x"}, {"Kustomization", "a", "../../x"}, {"Kustomization", "a", ""}} {
		if _, err := s.Put(bad, func(io.Writer) error { return nil }); err == nil {
			t.Errorf("%+v was stored", bad)
		}
	}
}

func TestHandler(t *testing.T) {
	s, dir := newStore(t)
	stored := put(t, s, "sealed")
	if err := os.WriteFile(filepath.Join(dir, "..", "secret"), []byte("outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(fileserver.Handler(s.Read))
	defer server.Close()
	cases := map[string]struct {
		reason, method, path string
		status               int
		body                 string
	}{
		"get":          {"a stored file", http.MethodGet, "/" + stored.Path, 200, "sealed"},
		"head":         {"its size", http.MethodHead, "/" + stored.Path, 200, ""},
		"post":         {"nothing is written over HTTP", http.MethodPost, "/" + stored.Path, 405, ""},
		"listing":      {"there are no listings", http.MethodGet, "/kustomization/apps/web.prod/", 404, ""},
		"root":         {"there are no listings", http.MethodGet, "/", 404, ""},
		"outside":      {"a path that climbs", http.MethodGet, "/kustomization/../../secret", 404, ""},
		"encoded":      {"a path that climbs, encoded", http.MethodGet, "/kustomization/..%2f..%2fsecret", 404, ""},
		"other digest": {"a file that is not there", http.MethodGet, "/kustomization/apps/web.prod/" + strings.Repeat("0", 64) + ".age", 404, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := server.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			body, _ := io.ReadAll(response.Body)
			if response.StatusCode != c.status || (c.status == 200 && string(body) != c.body) {
				t.Errorf("%s: %d %q, want %d %q", c.reason, response.StatusCode, body, c.status, c.body)
			}
		})
	}
}
