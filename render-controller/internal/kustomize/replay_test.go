package kustomize

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/render-controller/internal/trace"
	"github.com/sluice-gitops/sluice/render-controller/internal/tree"
)

// TestReplay changes each golden tree in every way that a commit can change one path, and holds the verdict of the trace
// against a build: where it says that the content stands, the build gives that content. It also has to say so for a file
// that the build does not read, or nothing would be saved.
func TestReplay(t *testing.T) {
	for _, dir := range cases(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			in, files := readInput(t, filepath.Join(dir, "input.json")), readFiles(t, filepath.Join(dir, "tree"))
			result, err := Build(writeTree(t, files), in, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := text(t, result.Objects)
			unread := changed(files, "unread-by-anybody/x.yaml", settings)
			stands := map[bool]int{}
			for name, other := range mutations(files) {
				verdict := trace.Stands(result.Trace, manifest(t, other).Answer)
				stands[verdict]++
				if !verdict {
					continue
				}
				again, err := Build(writeTree(t, other), in, nil)
				if err != nil {
					t.Errorf("%s: the content was said to stand, and the build fails: %v", name, err)
				} else if got := text(t, again.Objects); got != want {
					t.Errorf("%s: the content was said to stand, and is now:\n%s\nbefore:\n%s", name, got, want)
				}
			}
			if stands[false] == 0 {
				t.Error("no change to any file was seen")
			}
			if in.Path != "" && in.Path != "." && in.Path != "./" && !trace.Stands(result.Trace, manifest(t, unread).Answer) {
				t.Error("a file elsewhere in the repository has the subject built again")
			}
		})
	}
}

// mutations are the trees that differ from files by one change, by what was done.
func mutations(files map[string]string) map[string]map[string]string {
	all := map[string]map[string]string{}
	dirs := map[string]struct{}{".": {}}
	for name, content := range files {
		all["change "+name] = changed(files, name, content+"\n# changed\n")
		all["replace "+name] = changed(files, name, settings)
		all["empty "+name] = changed(files, name, "")
		all["remove "+name] = without(files, name)
		all["make a directory of "+name] = changed(without(files, name), name+"/inside.yaml", settings)
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			dirs[dir] = struct{}{}
		}
	}
	for dir := range dirs {
		for _, added := range []string{"added.yaml", "added.txt", "kustomization.yaml", "kustomization.yml", "Kustomization", "added/kustomization.yaml", "added/deep.yml"} {
			if name := path.Join(dir, added); files[name] == "" {
				all["add "+name] = changed(files, name, strings.Replace(settings, "settings", "added", 1))
			}
		}
		if dir != "." {
			gone := maps.Clone(files)
			maps.DeleteFunc(gone, func(name, _ string) bool { return strings.HasPrefix(name, dir+"/") })
			all["remove directory "+dir] = gone
			all["make a file of "+dir] = changed(gone, dir, settings)
		}
	}
	return all
}

func changed(files map[string]string, name, content string) map[string]string {
	other := maps.Clone(files)
	other[name] = content
	return other
}

func without(files map[string]string, name string) map[string]string {
	other := maps.Clone(files)
	delete(other, name)
	return other
}

func readFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		files[filepath.ToSlash(strings.TrimPrefix(name, dir+string(filepath.Separator)))] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// manifest is that of the files when they come as an artifact.
func manifest(t *testing.T, files map[string]string) tree.Manifest {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(files[name]))})
		if err == nil {
			_, err = archive.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(packed.Bytes()) }))
	defer server.Close()
	options := tree.Options{Dir: filepath.Join(t.TempDir(), "trees")}
	cache, err := tree.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = tree.Open(options) }) // empties the folder, which is read-only
	sum := sha256.Sum256(packed.Bytes())
	held, release, err := cache.Acquire(t.Context(), tree.Artifact{URL: server.URL, Digest: "sha256:" + hex.EncodeToString(sum[:])})
	if err != nil {
		t.Fatal(err)
	}
	release()
	return held.Manifest
}
