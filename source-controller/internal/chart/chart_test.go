package chart_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/source-controller/internal/chart"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

// source is an artifact with the given files.
func source(t testing.TB, files map[string]string) io.ReadSeeker {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(files[name]))}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(out.Bytes())
}

// options say which chart is made, and with what.
type options struct {
	Path          string
	ValuesFiles   []string
	IgnoreMissing bool
	Repositories  chart.Repositories
}

func load(t testing.TB, files map[string]string, o options) (*chart.Chart, error) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	c, err := chart.Load(source(t, files), root, dir, o.Path)
	if err != nil {
		return nil, err
	}
	if _, err := c.Complete(t.Context(), o.Repositories); err != nil {
		return nil, err
	}
	return c, c.Merge(o.ValuesFiles, o.IgnoreMissing)
}

func packaged(t *testing.T, c *chart.Chart) (data []byte, files map[string]string) {
	t.Helper()
	var out bytes.Buffer
	if err := c.Write(&out, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out.Bytes(), files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(content)
	}
}

func demo(extra map[string]string) map[string]string {
	files := map[string]string{
		"charts/demo/Chart.yaml":  "apiVersion: v2\nname: demo\nversion: 1.0.0\n",
		"charts/demo/values.yaml": "a: 0\n", "charts/demo/templates/a.yaml": "a", "charts/demo/templates/b.yaml": "b",
		"charts/demo/.helmignore": "notes\n", "charts/demo/notes": "x", "elsewhere": "x",
	}
	for name, content := range extra {
		files[name] = content
	}
	return files
}

func TestPackageDependsOnContentOnly(t *testing.T) {
	files := demo(map[string]string{
		"charts/demo/charts/one/Chart.yaml":   "apiVersion: v2\nname: one\nversion: 1.0.0\n",
		"charts/demo/charts/two/Chart.yaml":   "apiVersion: v2\nname: two\nversion: 1.0.0\n",
		"charts/demo/charts/three/Chart.yaml": "apiVersion: v2\nname: three\nversion: 1.0.0\n",
	})
	var first []byte
	for range 5 {
		c, err := load(t, files, options{Path: "./charts/demo/"})
		if err != nil {
			t.Fatal(err)
		}
		data, unpacked := packaged(t, c)
		if first == nil {
			first = data
		}
		if !bytes.Equal(first, data) {
			t.Fatal("two packages of one chart differ")
		}
		if _, ignored := unpacked["demo/notes"]; ignored || unpacked["demo/templates/a.yaml"] != "a" || unpacked["demo/charts/two/Chart.yaml"] == "" {
			t.Errorf("files: %v", unpacked)
		}
	}
}

func TestPackagedChartInTheSource(t *testing.T) {
	c, err := load(t, demo(nil), options{Path: "charts/demo"})
	if err != nil {
		t.Fatal(err)
	}
	data, _ := packaged(t, c)
	again, err := load(t, map[string]string{"dist/demo.tgz": string(data)}, options{Path: "dist/demo.tgz"})
	if err != nil || again.Name() != "demo" || again.Version() != "1.0.0" {
		t.Errorf("%+v, %v", again, err)
	}
}

// TestChartAtTheRoot: the path of the source itself, in any spelling, is the chart that lies there.
func TestChartAtTheRoot(t *testing.T) {
	files := map[string]string{"Chart.yaml": "apiVersion: v2\nname: root\nversion: 1.0.0\n", "templates/a.yaml": "a", "docs/x": "x"}
	for _, path := range []string{".", "./", "./.", "/", "docs/.."} {
		c, err := load(t, files, options{Path: path})
		if err != nil || c.Name() != "root" {
			t.Errorf("%q: %v", path, err)
			continue
		}
		if _, packed := packaged(t, c); packed["root/templates/a.yaml"] != "a" {
			t.Errorf("%q: files %v", path, packed)
		}
	}
}

func TestIntegersInValuesFilesAreExact(t *testing.T) {
	c, err := load(t, demo(map[string]string{"v/a.yaml": "id: 9123456789012345678\nsize: 1000000\nf: 1.5\n"}), options{
		Path: "charts/demo", ValuesFiles: []string{"v/a.yaml"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, files := packaged(t, c); files["demo/values.yaml"] != "f: 1.5\nid: 9123456789012345678\nsize: 1000000\n" {
		t.Errorf("values: %q", files["demo/values.yaml"])
	}
}

func TestVersionAndValues(t *testing.T) {
	c, err := load(t, demo(map[string]string{"v/a.yaml": "m: {x: 1, y1: 1}\nl: [1, 2]\n", "v/b.yaml": "m: {x: 2}\nl: [3]\n"}), options{
		Path: "charts/demo", ValuesFiles: []string{"v/a.yaml", "./v/b.yaml", "v/none.yaml"}, IgnoreMissing: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.SetVersion("1.0.0+7")
	_, files := packaged(t, c)
	if got, want := files["demo/values.yaml"], "l:\n- 3\nm:\n  x: 2\n  y1: 1\n"; got != want {
		t.Errorf("values: %q, want %q", got, want)
	}
	if !strings.Contains(files["demo/Chart.yaml"], "version: 1.0.0+7\n") {
		t.Errorf("Chart.yaml: %s", files["demo/Chart.yaml"])
	}
	if got := strings.Join(c.ValuesFiles, " "); got != "v/a.yaml ./v/b.yaml" {
		t.Errorf("merged: %s", got)
	}
}

func TestLoadRefuses(t *testing.T) {
	head := "apiVersion: v2\nname: demo\nversion: 1.0.0\n"
	dependency := func(repository, version string) map[string]string {
		return demo(map[string]string{
			"charts/demo/Chart.yaml": head + "dependencies:\n- name: lib\n  version: \"" + version + "\"\n  repository: \"" + repository + "\"\n",
			"charts/lib/Chart.yaml":  "apiVersion: v2\nname: lib\nversion: 1.0.0\n",
			"charts/loop/Chart.yaml": "apiVersion: v2\nname: lib\nversion: 1.0.0\ndependencies:\n- name: lib\n  version: 1.x\n  repository: file://../loop\n",
		})
	}
	for name, tc := range map[string]struct {
		files map[string]string
		path  string
		want  error
		text  string
	}{
		"nothing there":      {demo(nil), "charts/none", chart.ErrReference, "there is nothing"},
		"no Chart.yaml":      {demo(nil), "charts", chart.ErrReference, "no Chart.yaml"},
		"a file":             {demo(nil), "elsewhere", chart.ErrReference, "helm lint"},
		"escaping name":      {demo(map[string]string{"charts/demo/Chart.yaml": "apiVersion: v2\nname: ..\nversion: 1.0.0\n"}), "charts/demo", chart.ErrReference, ""},
		"hidden name":        {demo(map[string]string{"charts/demo/Chart.yaml": "apiVersion: v2\nname: .x\nversion: 1.0.0\n"}), "charts/demo", chart.ErrReference, "letters"},
		"escaping subchart":  {demo(map[string]string{"charts/demo/charts/x/Chart.yaml": "apiVersion: v2\nname: ..\nversion: 1.0.0\n"}), "charts/demo", chart.ErrReference, ""},
		"subchart of none":   {demo(map[string]string{"charts/demo/charts/x/Chart.yaml": "apiVersion: v2\nname: ../../x\nversion: 1.0.0\n"}), "charts/demo", chart.ErrReference, ""},
		"null":               {demo(map[string]string{"charts/demo/Chart.yaml": "null\n"}), "charts/demo", chart.ErrReference, ""},
		"local":              {dependency("file://../lib", "1.x"), "charts/demo", nil, ""},
		"local, other":       {dependency("file://../lib", "2.x"), "charts/demo", chart.ErrDependency, "does not match"},
		"local, none":        {dependency("file://../none", "1.x"), "charts/demo", chart.ErrDependency, "there is nothing"},
		"local, outside":     {dependency("file://../../../x", "1.x"), "charts/demo", chart.ErrDependency, "outside"},
		"local, absolute":    {dependency("file:///etc", "1.x"), "charts/demo", chart.ErrDependency, "outside"},
		"a loop":             {dependency("file://../loop", "1.x"), "charts/demo", chart.ErrDependency, "8 deep"},
		"remote":             {dependency("https://u:canary@h.example/x", "1.x"), "charts/demo", chart.ErrDependency, "https://h.example, holds a user"},
		"remote by its name": {dependency("@stable", "1.x"), "charts/demo", chart.ErrDependency, "an alias"},
		"remote, not asked":  {dependency("https://h.example/x", "1.x"), "charts/demo", chart.ErrDependency, "https://h.example is not asked"},
		"remote, git":        {dependency("git+https://ada:canary@h.example/x", "1.x"), "charts/demo", chart.ErrDependency, "none of file://, https://"},
		"nowhere":            {dependency("", "1.x"), "charts/demo", chart.ErrDependency, "names no repository"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tc.files, options{Path: tc.path})
			if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %v with %q", err, tc.want, tc.text)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the message shows a credential: %v", err)
			}
		})
	}
}

func TestFullDiskIsNotTheChartsFault(t *testing.T) {
	release := gittest.FullDisk(t, 1<<20)
	_, err := load(t, demo(map[string]string{"charts/demo/files/big": gittest.Random(2 << 20)}), options{Path: "charts/demo"})
	release()
	if err == nil || errors.Is(err, chart.ErrReference) || !strings.Contains(err.Error(), "file too large") {
		t.Errorf("got %v", err)
	}
}

// FuzzLoad holds that no chart brings the process down, and that what loads has a name that is a file's.
func FuzzLoad(f *testing.F) {
	f.Add("apiVersion: v2\nname: demo\nversion: 1.0.0\n", "a: 1\n")
	f.Add("apiVersion: v1\nname: x\nversion: 1\ndependencies: [null]\n", "[]")
	f.Add("&a [*a]", "{}")
	f.Fuzz(func(t *testing.T, metadata, values string) {
		c, err := load(t, map[string]string{"c/Chart.yaml": metadata, "c/values.yaml": values, "v": values}, options{
			Path: "c", ValuesFiles: []string{"v"},
		})
		if err == nil && (strings.ContainsAny(c.Name(), "/\\") || strings.HasPrefix(c.Name(), ".")) {
			t.Errorf("the name is %q", c.Name())
		}
	})
}
