package pack_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
)

// TestFolder: a folder is packed as the same tree is that comes from anywhere else, with nothing of what links point at.
func TestFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"b/run.sh": 0o755, "a.yaml": 0o640, "b/ignored.zip": 0o600} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	got, err := archive(t, pack.Folder(root), pack.Options{Limits: limits()})
	if err != nil {
		t.Fatal(err)
	}
	want, err := archive(t, files{"a.yaml": "a.yaml", "b/run.sh*": "b/run.sh"}, pack.Options{Limits: limits()})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("a folder is packed differently from the same tree of a repository: %s, want %s", listing(t, got), listing(t, want))
	}
}

// TestChosen: of a tree that somebody has chosen everything goes in, and its .sourceignore files mean nothing more.
func TestChosen(t *testing.T) {
	t.Parallel()
	tree := files{".gitignore": "x", ".sourceignore": "a.yaml", "a.yaml": "a", "b.zip": "b", "sub/.sourceignore": "*"}
	got, err := archive(t, tree, pack.Options{Chosen: true, Limits: limits()})
	if err != nil {
		t.Fatal(err)
	}
	for name := range tree {
		if !slices.Contains(strings.Split(listing(t, got), " "), name) {
			t.Errorf("%s is left out of %s", name, listing(t, got))
		}
	}
}
