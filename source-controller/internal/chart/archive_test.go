package chart_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/source-controller/internal/chart"
)

// archive is a packaged chart with the given files.
func archive(t testing.TB, files map[string]string) []byte {
	t.Helper()
	data, err := io.ReadAll(source(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func simple(extra map[string]string) map[string]string {
	files := map[string]string{"demo/Chart.yaml": "apiVersion: v2\nname: demo\nversion: 1.0.0\n", "demo/templates/a.yaml": "a"}
	for name, content := range extra {
		files[name] = content
	}
	return files
}

func TestValuesOfAPackagedChart(t *testing.T) {
	t.Parallel()
	packed := archive(t, simple(map[string]string{
		"demo/values.yaml": "a: 1\nm: {b: 1}\n", "demo/env/prod.yaml": "m: {c: 2}\n", "demo/charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
		"demo/charts/sub/values.yaml": "canary: 1\n", "demo/list.yaml": "- canary\n",
	}))
	for name, tc := range map[string]struct {
		files  []string
		ignore bool
		want   string
		err    error
		text   string
	}{
		"its own and another":  {files: []string{"values.yaml", "./env/prod.yaml"}, want: "a: 1\nm:\n  b: 1\n  c: 2\n"},
		"another alone":        {files: []string{"env/prod.yaml"}, want: "m:\n  c: 2\n"},
		"one that is missing":  {files: []string{"env/prod.yaml", "absent.yaml"}, ignore: true, want: "m:\n  c: 2\n"},
		"all missing":          {files: []string{"absent.yaml"}, ignore: true, want: "a: 1\nm: {b: 1}\n"},
		"missing, and wanted":  {files: []string{"absent.yaml"}, err: chart.ErrValuesFiles, text: `"absent.yaml" does not exist in the chart`},
		"a template":           {files: []string{"templates/a.yaml"}, err: chart.ErrValuesFiles, text: "does not exist in the chart"},
		"of a chart inside":    {files: []string{"charts/sub/values.yaml"}, err: chart.ErrValuesFiles, text: "does not exist in the chart"},
		"S-03, out of it":      {files: []string{"../../etc/passwd"}, err: chart.ErrValuesFiles, text: "does not exist in the chart"},
		"S-22, not a mapping":  {files: []string{"list.yaml"}, err: chart.ErrValuesFiles, text: `"list.yaml" is not a YAML mapping`},
		"the chart's metadata": {files: []string{"Chart.yaml"}, err: chart.ErrValuesFiles, text: "does not exist in the chart"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := chart.LoadArchive(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			err = c.Merge(tc.files, tc.ignore)
			if !errors.Is(err, tc.err) || err != nil && (!strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "canary")) {
				t.Fatalf("got %v, want %v with %q", err, tc.err, tc.text)
			}
			if err != nil {
				return
			}
			if _, files := packaged(t, c); files["demo/values.yaml"] != tc.want {
				t.Errorf("values %q, want %q", files["demo/values.yaml"], tc.want)
			}
		})
	}
}

// TestS06S12PackagesThatAreRefused: names that are paths, bombs, and what is no package.
func TestS06S12PackagesThatAreRefused(t *testing.T) {
	t.Parallel()
	whole := archive(t, simple(nil))
	many := simple(nil)
	for i := range 20_001 {
		many["demo/files/"+strings.Repeat("x", i%7)+string(rune('a'+i%26))+strings.Repeat("y", i/700)+string(rune('a'+i/26%26))+string(rune('a'+i/676%26))] = ""
	}
	for name, tc := range map[string]struct {
		data []byte
		text string
	}{
		"nothing":        {nil, "not a packaged chart"},
		"a page":         {[]byte("<html>canary</html>"), "not a packaged chart"},
		"half of one":    {whole[:len(whole)/2], "not a packaged chart"},
		"no Chart.yaml":  {archive(t, map[string]string{"demo/values.yaml": "a: 1"}), "the loader of Helm refuses it"},
		"the name ..":    {archive(t, map[string]string{"demo/Chart.yaml": "apiVersion: v2\nname: ..\nversion: 1.0.0\n"}), "the loader of Helm refuses it"},
		"the name .":     {archive(t, map[string]string{"demo/Chart.yaml": "apiVersion: v2\nname: .\nversion: 1.0.0\n"}), "the loader of Helm refuses it"},
		"a path":         {archive(t, map[string]string{"demo/Chart.yaml": "apiVersion: v2\nname: ../x\nversion: 1.0.0\n"}), "the loader of Helm refuses it"},
		"out of it":      {archive(t, simple(map[string]string{"demo/../../canary": "x"})), "the loader of Helm refuses it"},
		"zeros":          {archive(t, simple(map[string]string{"demo/zeros": strings.Repeat("\x00", 6<<20)})), "a file in it has more than 5242880 bytes; raise --helm-chart-file-max-size"},
		"files":          {archive(t, many), "it has more than 20000 files"},
		"anchors":        {archive(t, map[string]string{"demo/Chart.yaml": "&a [*a]"}), "the loader of Helm refuses it"},
		"values: a list": {archive(t, simple(map[string]string{"demo/values.yaml": "- canary"})), "the loader of Helm refuses it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := chart.LoadArchive(bytes.NewReader(tc.data))
			if !errors.Is(err, chart.ErrReference) || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, tc.text)
			}
		})
	}
}

// FuzzLoadArchive holds that no package brings the process down, and that what loads has a name that is a file's.
func FuzzLoadArchive(f *testing.F) {
	f.Add(archive(f, simple(map[string]string{"demo/values.yaml": "a: 1", "demo/charts/x.tgz": "x"})))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := chart.LoadArchive(bytes.NewReader(data))
		if err == nil && (strings.ContainsAny(c.Name(), "/\\") || strings.HasPrefix(c.Name(), ".")) {
			t.Errorf("the name is %q", c.Name())
		}
	})
}
