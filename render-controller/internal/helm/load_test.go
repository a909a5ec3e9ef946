package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestArchivesThatAreRefused(t *testing.T) {
	chart := "apiVersion: v2\nname: small\nversion: 0.1.0\n"
	many := func(n int, pattern string) map[string]string {
		files := map[string]string{}
		for i := range n {
			files[fmt.Sprintf(pattern, i)] = ""
		}
		return files
	}
	zeros := strings.Repeat("\x00", maxFile)
	nested := small(t, nil)
	for range maxNesting + 1 {
		nested = small(t, map[string]string{"charts/small-0.1.0.tgz": string(nested)})
	}
	blobs := map[string]string{}
	for i := range maxUnpacked/maxFile/2 + 1 {
		blobs[fmt.Sprintf("blob%d", i)] = zeros
	}
	bomb := string(small(t, blobs))
	tests := map[string]struct {
		reason string
		chart  []byte
		want   string
	}{
		"not gzip":     {"a chart is a .tgz", []byte("apiVersion: v2"), "not a gzipped tar"},
		"empty":        {"an empty file is none", []byte{}, "not a gzipped tar"},
		"cut":          {"an archive that ends early", small(t, map[string]string{"templates/a.yaml": strings.Repeat("a: b\n", 999)})[:100], "unexpected EOF"},
		"no Chart":     {"a chart has a Chart.yaml", pack(t, map[string]string{"small/values.yaml": "a: b"}), "Chart.yaml file is missing"},
		"large":        {"the archive itself is bounded", make([]byte, maxArchive+1), "larger than 16 MiB"},
		"large file":   {"and each file", small(t, map[string]string{"blob": zeros + "\x00"}), "larger than 5 MiB"},
		"files":        {"and their number", small(t, many(maxFiles, "files/%d")), "more than 10000 files"},
		"templates":    {"and that of templates", small(t, many(maxTemplates+1, "templates/%d.yaml")), "more than 5000 templates"},
		"nesting":      {"and how deep charts are packed in charts", nested, "inside each other"},
		"bomb of subs": {"subcharts count together", small(t, map[string]string{"charts/a-1.tgz": bomb, "charts/b-1.tgz": bomb}), "larger than 100 MiB"},
		"long path":    {"and the length of paths", small(t, map[string]string{strings.Repeat("charts/a/", 200) + "x": ""}), "more than 1024 characters"},
		"outside":      {"nothing lies outside of the chart", small(t, map[string]string{"../../escape": ""}), "parent directory"},
		"name":         {"a chart's name is no path", pack(t, map[string]string{"small/Chart.yaml": strings.Replace(chart, "name: small", "name: ../small", 1)}), "invalid"},
		"link":         {"links lead out", packLink(t), "links and devices"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Render(t.Context(), input(tt.chart))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %v, want %q", tt.reason, err, tt.want)
			}
		})
	}
}

func packLink(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	zipped := gzip.NewWriter(&buf)
	archive := tar.NewWriter(zipped)
	if err := archive.WriteHeader(&tar.Header{Name: "small/values.yaml", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestChartPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "small.tgz")
	if err := os.WriteFile(path, small(t, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	in := input(nil)
	in.ChartPath = path
	if _, err := Render(t.Context(), in); err != nil {
		t.Errorf("chart read from a file: %v", err)
	}
	in.ChartPath = path + ".missing"
	if _, err := Render(t.Context(), in); err == nil || !strings.Contains(err.Error(), "open chart archive") {
		t.Errorf("got %v, want the missing file named", err)
	}
}

func TestPackagedSubchart(t *testing.T) {
	sub := pack(t, map[string]string{
		"db/Chart.yaml":          "apiVersion: v2\nname: db\nversion: 1.0.0\n",
		"db/templates/db.yaml":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: db}\n",
		"db/templates/NOTES.txt": "not of the release",
	})
	out, err := Render(t.Context(), input(small(t, map[string]string{
		"Chart.yaml":          "apiVersion: v2\nname: small\nversion: 0.1.0\ndependencies: [{name: db, version: 1.x, alias: store}]\n",
		"charts/db-1.0.0.tgz": string(sub),
	})))
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Content.Objects) != 1 || recordOf(t, out).Info.Notes != "" {
		t.Errorf("got %d objects and notes %q, want the subchart's object and no notes", len(out.Content.Objects), recordOf(t, out).Info.Notes)
	}
}

// FuzzRenderFiles fuzzes what lies in a chart, FuzzRenderArchive the archive.
func FuzzRenderFiles(f *testing.F) {
	f.Add("apiVersion: v2\nname: a\nversion: 1.0.0\ndependencies:\n- null\n", "a: {b: c}", "kind: {{ .Values.a }}", "{}", "{}")
	f.Add("apiVersion: v1\nname: a\nversion: 1.0.0\nmaintainers: [null]\n", "[]", "{{ tpl .Values.a . }}", `{"$ref":"#"}`, "null")
	f.Fuzz(func(t *testing.T, chart, values, template, schema, crd string) {
		if strings.Contains(template, "{{") && strings.Contains(template, "range") {
			return // templates may run for ever: the worker is killed then
		}
		_, err := Render(t.Context(), input(pack(t, map[string]string{
			"a/Chart.yaml": chart, "a/values.yaml": values, "a/templates/a.yaml": template,
			"a/values.schema.json": schema, "a/crds/a.yaml": crd, "a/Chart.lock": crd, "a/requirements.yaml": values,
		})))
		if err != nil && strings.Contains(err.Error(), "failed unexpectedly") {
			t.Logf("a panic in Helm, recovered: %v", err)
		}
	})
}

func FuzzRenderArchive(f *testing.F) {
	f.Add(small(f, map[string]string{"templates/a.yaml": "a: b"}))
	f.Add(small(f, map[string]string{"charts/a.tgz": string(small(f, nil))}))
	f.Add([]byte{0x1f, 0x8b, 0x08})
	f.Fuzz(func(t *testing.T, chart []byte) {
		_, _ = Render(t.Context(), input(chart))
	})
}
