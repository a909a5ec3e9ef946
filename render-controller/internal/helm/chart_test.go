package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// pack makes a .tgz of files, as `helm package` does.
func pack(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name]))}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// packDir packs testdata/<name>.
func packDir(t testing.TB, name string) []byte {
	t.Helper()
	files := map[string]string{}
	root := os.DirFS("testdata")
	err := fs.WalkDir(root, name, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, path)
		files[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pack(t, files)
}

// small is a chart of one template and whatever else is given.
func small(t testing.TB, files map[string]string) []byte {
	t.Helper()
	all := map[string]string{"small/Chart.yaml": "apiVersion: v2\nname: small\nversion: 0.1.0\n"}
	for name, content := range files {
		all["small/"+name] = content
	}
	return pack(t, all)
}

func input(chart []byte) Input {
	return Input{
		Chart: chart, ChartDigest: "sha256:c0ffee", ReleaseName: "shop", Namespace: "apps",
		Parameters:  v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true},
		SubjectName: "web", SubjectNamespace: "team",
		Capabilities: Capabilities{KubeVersion: "v1.36.3", APIVersions: []string{"v1", "apps/v1", "example.org/v1"}},
	}
}
