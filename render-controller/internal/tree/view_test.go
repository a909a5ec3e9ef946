package tree

import (
	"archive/tar"
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func openTest(t *testing.T, members ...member) *View {
	t.Helper()
	content := pack(t, members...)
	url, _ := serve(t, content)
	held, release, err := newCache(t, Options{}).Acquire(t.Context(), Artifact{URL: url, Digest: digestOf(content)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	view, err := OpenView(held.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = view.Close() })
	return view
}

func TestView(t *testing.T) {
	view := openTest(t, file("apps/b.yaml", "b: 1"), file("apps/a/x", ""), member{name: "apps/empty", kind: tar.TypeDir})
	entries, err := view.ReadDir("apps")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name()+" "+entry.Type().String())
	}
	if got := strings.Join(names, ", "); got != "a d---------, b.yaml ----------, empty d---------" {
		t.Errorf("listed %s", got)
	}
	if info, err := view.Stat("apps/b.yaml"); err != nil || info.Size() != 4 || info.IsDir() || !info.Mode().IsRegular() || info.Name() != "b.yaml" {
		t.Errorf("stat: %+v, %v", info, err)
	}
	if inside, err := view.ReadDir("apps/empty"); err != nil || len(inside) != 0 {
		t.Errorf("an empty folder: %v, %v", inside, err)
	}
}

func TestViewReachesNothingElse(t *testing.T) {
	view := openTest(t, file("apps/b.yaml", "b: 1"))
	for _, name := range []string{"", "/", "..", "../x", "/etc/passwd", "apps/../apps/b.yaml", "./apps/b.yaml", "apps/", "apps/b.yaml/x", blobsDir, "apps\x00"} {
		if content, err := view.ReadFile(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: read %q, %v", name, content, err)
		}
		if _, err := view.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: stat %v", name, err)
		}
	}
	if _, err := view.ReadFile("apps"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read a folder: %v", err)
	}
	if _, err := view.ReadDir("apps/b.yaml"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("listed a file: %v", err)
	}
}

func TestViewOfALargeFile(t *testing.T) {
	large := strings.Repeat("0", MaxFile+1)
	view := openTest(t, file("large", large), file("largest", large[:MaxFile]))
	if _, err := view.ReadFile("large"); err == nil || !strings.Contains(err.Error(), "large has 33554433 bytes") {
		t.Errorf("error %v, want one that names the file and its size", err)
	}
	if info, err := view.Stat("large"); err != nil || info.Size() != MaxFile+1 {
		t.Errorf("stat: %+v, %v", info, err)
	}
	if content, err := view.ReadFile("largest"); err != nil || len(content) != MaxFile {
		t.Errorf("%d bytes, %v", len(content), err)
	}
}
