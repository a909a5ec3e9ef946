package tree

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// member is one entry of an archive that a test makes.
type member struct {
	name    string
	kind    byte
	mode    int64
	content string
	link    string
}

func file(name, content string) member {
	return member{name: name, kind: tar.TypeReg, mode: 0o600, content: content}
}

func pack(t testing.TB, members ...member) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&packed, gzip.NoCompression) // which takes no time
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(zipped)
	for _, m := range members {
		header := &tar.Header{Name: m.name, Typeflag: m.kind, Mode: m.mode, Size: int64(len(m.content)), Linkname: m.link}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(m.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// serve serves content at every path, and counts the requests.
func serve(t testing.TB, content []byte) (url string, requests *atomic.Int64) {
	t.Helper()
	requests = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.URL.Path == "/missing" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

func newCache(t testing.TB, options Options) *Cache {
	t.Helper()
	options.Dir = filepath.Join(t.TempDir(), "trees")
	cache, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

// read returns what a file of a tree holds.
func read(t *testing.T, tree *Tree, name string) (string, error) {
	t.Helper()
	view, err := OpenView(tree.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = view.Close() }()
	content, err := view.ReadFile(name)
	return string(content), err
}

func TestAcquireUnpacksOncePerDigest(t *testing.T) {
	content := pack(t, file("apps/a.yaml", "a: 1"), member{name: "run.sh", kind: tar.TypeReg, mode: 0o755, content: "#!/bin/sh"},
		member{name: "empty", kind: tar.TypeDir, mode: 0o755}, member{name: "link", kind: tar.TypeSymlink, link: "/etc/passwd"})
	url, requests := serve(t, content)
	cache := newCache(t, Options{})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			tree, release, err := cache.Acquire(t.Context(), Artifact{URL: url, Digest: digestOf(content)})
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			if got, err := read(t, tree, "apps/a.yaml"); err != nil || got != "a: 1" {
				t.Errorf("read %q, %v", got, err)
			}
		})
	}
	group.Wait()
	if requests.Load() != 1 {
		t.Errorf("%d downloads for one digest", requests.Load())
	}

	tree, release, err := cache.Acquire(t.Context(), Artifact{URL: url, Digest: digestOf(content)})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	want := Manifest{
		".":           {Kind: Directory, Digest: digestOf([]byte("apps\x00empty\x00run.sh"))},
		"apps":        {Kind: Directory, Digest: digestOf([]byte("a.yaml"))},
		"empty":       {Kind: Directory, Digest: digestOf(nil)},
		"apps/a.yaml": {Kind: File, Digest: digestOf([]byte("a: 1")), Size: 4},
		"run.sh":      {Kind: File, Digest: digestOf([]byte("#!/bin/sh")), Size: 9},
	}
	if diff := cmp.Diff(want, tree.Manifest); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
	if _, err := read(t, tree, "link"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the symlink was unpacked: %v", err)
	}
}

func TestAcquireRefuses(t *testing.T) {
	good := pack(t, file("a.yaml", "a: 1"))
	small := Limits{Compressed: 1 << 20, Uncompressed: 1 << 16, Files: 10, PathLength: 20}
	many := make([]member, 0, 11)
	for i := range 11 {
		many = append(many, file(string(rune('a'+i)), ""))
	}
	cases := map[string]struct {
		reason  string
		content []byte
		digest  string
		want    string
	}{
		"another digest":    {"what is served is not what was announced", good, digestOf([]byte("other")), "does not have the digest"},
		"no digest":         {"nothing to compare with", good, "", "digest"},
		"digest as a path":  {"a digest names a directory on disk", good, "sha256:../../x", "is not one"},
		"unknown algorithm": {"it cannot be computed", good, "md5:d41d8cd98f00b204e9800998ecf8427e", "digest"},
		"truncated":         {"a gzip that ends early", good[:len(good)/2], digestOf(good[:len(good)/2]), "cut short"},
		"not gzip":          {"an error page", []byte("<html>"), digestOf([]byte("<html>")), "not a gzip"},
		"leads outside":     {"a path with ..", pack(t, file("../x", "")), "", "leads outside"},
		"hidden in a path":  {"a path that climbs after a directory", pack(t, file("a/../../x", "")), "", "leads outside"},
		"absolute":          {"an absolute path", pack(t, file("/etc/x", "")), "", "absolute"},
		"backslash":         {"a separator elsewhere", pack(t, file(`a\..\b`, "")), "", "character"},
		"twice":             {"the second would replace the first", pack(t, file("a", "1"), file("a", "2")), "", "twice"},
		"file, then folder": {"one of them would go", pack(t, file("a", "1"), member{name: "a", kind: tar.TypeDir}), "", "twice"},
		"folder, then file": {"one of them would go", pack(t, file("a/b", "1"), file("a", "2")), "", "twice"},
		"below a file":      {"a file has nothing below it", pack(t, file("a", "1"), file("a/b", "2")), "", "as a file"},
		"too many files":    {"a limit", pack(t, many...), "", "more than 10 files"},
		"long path":         {"a limit", pack(t, file(strings.Repeat("a", 21), "")), "", "more than the 20"},
		"bomb":              {"it unpacks to more than is allowed", pack(t, file("a", strings.Repeat("0", 1<<17))), "", "when unpacked"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			url, _ := serve(t, c.content)
			cache := newCache(t, Options{Limits: small})
			artifact := Artifact{URL: url, Digest: c.digest}
			if c.digest == "" && name != "no digest" {
				artifact.Digest = digestOf(c.content)
			}
			_, _, err := cache.Acquire(t.Context(), artifact)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want one about %q", c.reason, err, c.want)
			}
			for _, dir := range []string{".", blobsDir} {
				left, err := os.ReadDir(filepath.Join(cache.options.Dir, dir))
				left = slices.DeleteFunc(left, func(e fs.DirEntry) bool { return e.Name() == blobsDir })
				if err != nil || len(left) != 0 {
					t.Errorf("%s: left behind: %v %v", c.reason, left, err)
				}
			}
		})
	}
}

func TestAcquireTriesAgain(t *testing.T) {
	content := pack(t, file("a", "1"))
	url, _ := serve(t, content)
	cache := newCache(t, Options{})
	if _, _, err := cache.Acquire(t.Context(), Artifact{URL: url + "/missing", Digest: digestOf(content)}); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
	_, release, err := cache.Acquire(t.Context(), Artifact{URL: url, Digest: digestOf(content)})
	if err != nil {
		t.Fatal(err)
	}
	release()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := cache.Acquire(ended, Artifact{URL: url, Digest: digestOf([]byte("x"))}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestDropsLeastRecentlyUsed(t *testing.T) {
	cache := newCache(t, Options{Capacity: 1000})
	acquire := func(texts ...string) (*Tree, func()) {
		var members []member
		for _, text := range texts {
			members = append(members, file(text, text))
		}
		content := pack(t, members...)
		url, _ := serve(t, content)
		tree, release, err := cache.Acquire(t.Context(), Artifact{URL: url, Digest: digestOf(content)})
		if err != nil {
			t.Fatal(err)
		}
		return tree, release
	}
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	pinned, unpin := acquire("pinned", "shared")
	old, release := acquire("old", "shared", "of the old alone")
	release()
	newer, release := acquire("newer", "shared")
	release()
	if there(old.Path) || there(cache.blobs.path(digestOf([]byte("of the old alone")))) {
		t.Error("the least recently used is still there")
	}
	for _, kept := range []*Tree{pinned, newer} {
		if got, err := read(t, kept, "shared"); err != nil || got != "shared" {
			t.Errorf("what trees share went with one of them: %q, %v", got, err)
		}
	}
	if there(cache.blobs.path(digestOf([]byte("old")))) || !there(cache.blobs.path(digestOf([]byte("pinned")))) {
		t.Error("the contents that are there are not those of the trees that are there")
	}
	unpin()
}

// TestFullDisk has a disk without room until something is dropped.
func TestFullDisk(t *testing.T) {
	cache := newCache(t, Options{})
	content := pack(t, file("a", "1"))
	url, _ := serve(t, content)
	artifact := Artifact{URL: url, Digest: digestOf(content)}
	next := Artifact{URL: url, Digest: digestOf([]byte("next"))}
	full := &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	attempts := 0
	fetch := func(_ context.Context, artifact Artifact, path string) (*Tree, error) {
		attempts++
		if len(cache.entries) > 1 {
			return nil, full
		}
		return &Tree{Path: path, Digest: artifact.Digest}, nil
	}
	_, release, err := cache.Acquire(t.Context(), artifact)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := cache.acquire(t.Context(), next, "tree", fetch); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrInvalid) || attempts != 1 {
		t.Errorf("with all trees in use: error %v after %d attempts, want the disk's after one", err, attempts)
	}
	release()
	_, release, err = cache.acquire(t.Context(), next, "tree", fetch)
	if err != nil {
		t.Fatalf("a tree that nobody uses did not make room: %v", err)
	}
	release()
	if left, err := os.ReadDir(filepath.Join(cache.options.Dir, blobsDir)); err != nil || len(left) != 0 {
		t.Errorf("left of the tree that made room: %v, %v", left, err)
	}
}

// TestDiskErrorsAreNotTheArchives: what cannot be written here may well be tried again.
func TestDiskErrorsAreNotTheArchives(t *testing.T) {
	content := pack(t, file("a", "1"))
	url, _ := serve(t, content)
	cache := newCache(t, Options{})
	if err := os.RemoveAll(filepath.Join(cache.options.Dir, blobsDir)); err != nil {
		t.Fatal(err)
	}
	_, _, err := cache.Acquire(t.Context(), Artifact{URL: url, Digest: digestOf(content)})
	if err == nil || errors.Is(err, ErrInvalid) {
		t.Errorf("error %v, want one that is not about the artifact", err)
	}
}

// TestSharesContents: the next commit writes what it changed.
func TestSharesContents(t *testing.T) {
	cache := newCache(t, Options{})
	for _, edition := range []string{"one", "two"} {
		content := pack(t, file("a", "the same"), file("b", edition), file("c", "the same"))
		url, _ := serve(t, content)
		_, release, err := cache.Acquire(t.Context(), Artifact{URL: url, Digest: digestOf(content)})
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	contents, err := os.ReadDir(filepath.Join(cache.options.Dir, blobsDir))
	if want := int64(len("the same") + len("one") + len("two")); err != nil || len(contents) != 3 || cache.blobs.bytes() != want {
		t.Errorf("%d files of %d bytes, error %v; want 3 of %d", len(contents), cache.blobs.bytes(), err, want)
	}
}

func TestAcquireFileKeepsTheArchive(t *testing.T) {
	content := pack(t, file("chart/Chart.yaml", "name: x"))
	url, _ := serve(t, content)
	cache := newCache(t, Options{})
	tree, release, err := cache.AcquireFile(t.Context(), Artifact{URL: url, Digest: digestOf(content)})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if got, err := os.ReadFile(tree.Path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file differs from what was served: %v", err)
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(pack(f, file("a/b.yaml", "a: 1"), member{name: "d", kind: tar.TypeDir}))
	f.Add(pack(f, file("../b", "a"), member{name: "l", kind: tar.TypeSymlink, link: ".."}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, archive []byte) {
		contents, err := openBlobs(filepath.Join(t.TempDir(), "in"))
		if err != nil {
			t.Fatal(err)
		}
		limits := Limits{Uncompressed: 1 << 16, Files: 100, PathLength: 100, Compressed: 1 << 16}
		manifest, err := extract(bytes.NewReader(archive), contents, limits)
		if err == nil && contents.bytes() > limits.Uncompressed {
			t.Errorf("unpacked %d bytes", contents.bytes())
		}
		if err := contents.release(manifest); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(contents.dir), "*", "*")); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}
