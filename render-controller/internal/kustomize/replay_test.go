package kustomize

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/render-controller/internal/trace"
	"github.com/sluice-gitops/sluice/render-controller/internal/tree/treetest"
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
			stands, cache := map[bool]int{}, treetest.NewCache(t)
			for name, other := range mutations(files) {
				verdict := trace.Stands(result.Trace, treetest.Acquire(t, cache, other).Manifest.Answer)
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
			if in.Path != "" && in.Path != "." && in.Path != "./" && !trace.Stands(result.Trace, treetest.Acquire(t, cache, unread).Manifest.Answer) {
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
