package helmrepo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/repo"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
)

// written is an index in block style, with texts that look like what they are in.
const written = `apiVersion: v1
entries:
  web:
  - apiVersion: v2
    created: "2026-01-02T03:04:05Z"
    description: |
      A text, in which
      entries:
        other:
        - version: 9.9.9

      # is no comment
    digest: aa
    name: web
    urls:
    - https://charts.example.com/web-1.0.0.tgz
    version: 1.0.0
  # a comment
  - name: web
    version: 1.1.0
    description: "several
      lines: in

      quotes"
    urls: [web-1.1.0.tgz]
  - {name: web, version: 1.2.0-rc.1, urls: [web-1.2.0-rc.1.tgz]}
  "api":
      - name: api
        version: v0.1.0
        urls:
        - api-0.1.0.tgz
  empty: []
  none:
generated: "2026-01-02T03:04:05Z"
`

// find looks for a version as a chart does: with the table of contents that was made while the index was checked, and with one
// that was made later. It returns the version, or the error.
func find(t testing.TB, index, name, asked string) string {
	t.Helper()
	checked, err := helmrepo.Read(strings.NewReader(index))
	outlined, later := helmrepo.Outline(strings.NewReader(index))
	if err != nil {
		return err.Error()
	}
	if later != nil || checked.Charts() != outlined.Charts() {
		t.Fatalf("%d charts when it is checked, %d later: %v", checked.Charts(), outlined.Charts(), later)
	}
	var found []string
	for _, x := range []*helmrepo.Index{checked, outlined} {
		v, err := x.Find(strings.NewReader(index), name, asked)
		switch {
		case err != nil:
			found = append(found, err.Error())
		default:
			found = append(found, v.Version+" "+strings.Join(v.URLs, ","))
		}
	}
	if found[0] != found[1] {
		t.Fatalf("found %q and %q", found[0], found[1])
	}
	return found[0]
}

func TestStyles(t *testing.T) {
	t.Parallel()
	asJSON, err := yaml.YAMLToJSON([]byte(written))
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, asJSON, "", "  "); err != nil {
		t.Fatal(err)
	}
	asFlow := strings.NewReplacer(`"apiVersion":`, "apiVersion: ", `"entries":`, "entries: ").Replace(string(asJSON))
	for name, index := range map[string]string{
		"as helm writes it":      written,
		"Windows' line ends":     strings.ReplaceAll(written, "\n", "\r\n"),
		"a byte order mark":      "\xef\xbb\xbf" + written,
		"as a document":          "%YAML 1.2\n---\n" + written + "...\n",
		"two documents":          "# first\n---\n" + written + "---\nentries: {}\n",
		"indented as a whole":    "  " + strings.ReplaceAll(strings.TrimSpace(written), "\n", "\n  ") + "\n",
		"JSON in a line":         string(asJSON),
		"JSON in many lines":     indented.String(),
		"flow style, not JSON":   asFlow,
		"entries in flow style":  "apiVersion: v1\nentries: " + between(asFlow, "entries: ", `,"generated"`) + "\n",
		"a chart in flow style":  strings.Replace(written, "  web:\n", "  web: &anchor\n", 1),
		"a list behind the name": strings.Replace(written, "entries:\n", "entries: # charts\n", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for asked, want := range map[string][2]string{
				"newest":    {"web", "1.1.0 web-1.1.0.tgz"},
				"1.0.0":     {"web", "1.0.0 https://charts.example.com/web-1.0.0.tgz"},
				">=1.0.0-0": {"web", "1.2.0-rc.1 web-1.2.0-rc.1.tgz"},
				"0.x":       {"api", "v0.1.0 api-0.1.0.tgz"},
			} {
				if got := find(t, index, want[0], strings.TrimPrefix(asked, "newest")); got != want[1] {
					t.Errorf("%s of %s: got %q, want %q", asked, want[0], got, want[1])
				}
			}
			if got := find(t, index, "other", ""); !strings.Contains(got, "does not list") {
				t.Errorf("a chart that is a text's: %s", got)
			}
			x, err := helmrepo.Read(strings.NewReader(index))
			if err != nil || x.Charts() != 4 || x.Versions != 4 || x.Notice() != "" {
				t.Errorf("%d charts, %d versions, %q, %v", x.Charts(), x.Versions, x.Notice(), err)
			}
		})
	}
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

func TestFind(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("apiVersion: v1\nentries:\n  ingress-nginx:\n")
	for i, version := range []string{"1.0.0", "1.1.0", "1.1.0+b", "2.0.0-rc.1", "1.2", "v1.0.5", "0.9.0"} {
		fmt.Fprintf(&b, "  - name: ingress-nginx\n    version: %s\n    created: 2026-01-0%dT00:00:00Z\n    urls: [f-%d]\n", version, i+1, i)
	}
	index := b.String() + "  betas:\n  - name: betas\n    version: 1.0.0-beta.1\n    urls: [b]\n"
	for name, tc := range map[string]struct {
		chart, asked, want, reason string
	}{
		"newest":           {"ingress-nginx", "", "1.1.0+b f-2", "the one made later, of two that differ in what does not count"},
		"star":             {"ingress-nginx", "*", "1.1.0+b f-2", "is what no version is"},
		"exact":            {"ingress-nginx", "1.1.0", "1.1.0 f-1", "a name that is there counts as it is"},
		"short":            {"ingress-nginx", "1.2", "1.2 f-4", "also one that no range finds"},
		"with a v":         {"ingress-nginx", "1.0.5", "v1.0.5 f-5", "it is the same version"},
		"range":            {"ingress-nginx", ">=1.0.0 <1.1.0", "v1.0.5 f-5", "the newest in it"},
		"before a release": {"ingress-nginx", ">=2.0.0-0", "2.0.0-rc.1 f-3", "a range that names one includes them"},
		"gone": {
			"ingress-nginx", "1.3.0", `no version of chart "ingress-nginx" is "1.3.0"; the newest are 2.0.0-rc.1, 1.2, 1.1.0`,
			"what there is instead is named",
		},
		"only betas":   {"betas", "*", "includes those before a release", "it is said how to get one"},
		"near":         {"nginx-ingres", "", `does not list chart "nginx-ingres", nor one with such a name, among its 2`, "other words are not near"},
		"part":         {"nginx", "", "near are ingress-nginx", "a part of the name is near"},
		"a letter off": {"ingres-nginx", "", "near are ingress-nginx", "a slip of the finger"},
		"no range":     {"betas", "one", `"one" is neither a version nor a range`, "a spec that cannot be met"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := find(t, index, tc.chart, tc.asked); !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q: %s", got, tc.want, tc.reason)
			}
		})
	}
}

// TestBrokenEntries: what is broken is left out and told, and everything else stays usable.
func TestBrokenEntries(t *testing.T) {
	t.Parallel()
	good := "  good:\n  - {name: good, version: 1.0.0, urls: [g]}\n"
	for name, tc := range map[string]struct{ entry, why string }{
		"not YAML":                {"  bad:\n  - name: \"bad\n    version: 1.0.0\n", `"bad" in line 4: it is not valid YAML`},
		"one of two":              {"  bad:\n  - name: [bad\n  - {name: bad, version: 1.0.0, urls: [b]}\n", `"bad" in line 4: it is not valid YAML`},
		"another's anchor":        {"  bad:\n  - *other\n", "refers to something outside"},
		"no version":              {"  bad:\n  - {name: bad}\n", "it has no version"},
		"no semantic version":     {"  bad:\n  - {name: bad, version: latest}\n", "not a semantic version"},
		"no name":                 {"  bad:\n  - {version: 1.0.0}\n", "it has no name"},
		"a path as a name":        {"  bad:\n  - {name: ../bad, version: 1.0.0}\n", "its name is a path"},
		"a type that is none":     {"  bad:\n  - {name: bad, version: 1.0.0, type: plugin}\n", "its type"},
		"a text for a list":       {"  bad:\n  - {name: bad, version: 1.0.0, urls: {a: b}}\n", "of the wrong kind"},
		"a mapping for the list":  {"  bad:\n    name: bad\n", "not a list of versions"},
		"a text for all":          {"  bad: none\n", "not a list of versions"},
		"twice":                   {"  good:\n  - {name: good, version: 2.0.0}\n", "listed twice"},
		"a name without end":      {"  " + strings.Repeat("x", 300) + ":\n  - {name: x, version: 1.0.0}\n", "has between 1 and 250 bytes"},
		"a version without end":   {"  bad:\n  - name: bad\n    version: " + strings.Repeat("1", 2<<20) + "\n", "more than 1048576 bytes"},
		"text in many many lines": {"  bad:\n  - name: bad\n    d: |\n" + strings.Repeat("      x\n", 200_000), "more than 1048576 bytes"},
		"bombs": {
			"  bad:\n  - {name: bad, version: 1.0.0, a: &a [x,x,x,x,x,x,x,x,x], b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a], " +
				"urls: [*b,*b,*b,*b,*b,*b,*b,*b,*b]}\n", "of the wrong kind",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := good
			if name == "twice" {
				before = ""
			}
			index := "apiVersion: v1\nentries:\n"
			if name == "twice" {
				index += good + tc.entry
			} else {
				index += tc.entry + before
			}
			index += "generated: now\n"
			if got := find(t, index, "good", ""); got != "1.0.0 g" {
				t.Errorf("the other chart: %s", got)
			}
			x, err := helmrepo.Read(strings.NewReader(index))
			if err != nil {
				t.Fatal(err)
			}
			if notice := x.Notice(); !strings.Contains(notice, tc.why) || len(notice) > 300 {
				t.Errorf("told: %.400q, want %q", notice, tc.why)
			}
		})
	}
	var many strings.Builder
	many.WriteString("apiVersion: v1\nentries:\n" + good)
	for i := range 1000 {
		fmt.Fprintf(&many, "  bad%d:\n  - {}\n", i)
	}
	x, err := helmrepo.Read(strings.NewReader(many.String() + "generated: now\n"))
	if err != nil || !strings.HasSuffix(x.Notice(), "and 995 more") || len(x.Notice()) > 500 {
		t.Errorf("many: %q, %v", x.Notice(), err)
	}
}

// TestTruncated: an index of which the end is missing would make charts disappear.
func TestTruncated(t *testing.T) {
	t.Parallel()
	index := strings.Replace(written, "generated: \"2026-01-02T03:04:05Z\"\n", "", 1)
	asJSON, err := yaml.YAMLToJSON([]byte(written))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ index, reason string }{
		"inside a line":     {index[:strings.Index(index, "aa\n")+1], "a line has an end"},
		"inside quotes":     {index[:strings.Index(index, "lines: in\n")+len("lines: in\n")], "the last entry is broken"},
		"behind a key":      {index[:strings.Index(index, "    version: 1.1.0")], "the last entry has no version"},
		"JSON":              {string(asJSON[:len(asJSON)/2]), "nothing is closed"},
		"JSON, at its end":  {string(asJSON[:len(asJSON)-1]), "the last brace is missing"},
		"JSON in an object": {string(asJSON[:bytes.Index(asJSON, []byte("web"))]), "a name has an end"},
	} {
		_, err := helmrepo.Read(strings.NewReader(tc.index))
		if !errors.Is(err, helmrepo.ErrTruncated) {
			t.Errorf("%s: %v, want it refused: %s", name, err, tc.reason)
		}
	}
	if _, err := helmrepo.Read(strings.NewReader(index)); err != nil {
		t.Errorf("an index that ends with its entries: %v", err)
	}
}

func TestS14S16IndexesThatAreRefused(t *testing.T) {
	t.Parallel()
	var charts strings.Builder
	charts.WriteString("apiVersion: v1\nentries:\n")
	for i := range 100_001 {
		fmt.Fprintf(&charts, "  c%d: []\n", i)
	}
	for name, tc := range map[string]struct{ index, text string }{
		"nothing":               {"", "it is empty"},
		"comments":              {"# nothing\n\n", "it is empty"},
		"a page":                {"<!doctype html>\n<html><body>log in: canary</body></html>\n", "not YAML with charts"},
		"a list":                {"- canary\n", "not YAML with charts"},
		"a text":                {"canary", "not YAML with charts"},
		"bytes":                 {"\x00\x01\x02", "not YAML with charts"},
		"no apiVersion":         {"entries: {}\n", "no apiVersion"},
		"no apiVersion, JSON":   {`{"entries": {}}`, "no apiVersion"},
		"apiVersion a number":   {`{"apiVersion": 1, "entries": {}}`, "apiVersion is empty"},
		"a list of entries":     {"apiVersion: v1\nentries:\n- name: canary\n", "are a list"},
		"entries in JSON":       {`{"apiVersion": "v1", "entries": []}`, "not a mapping"},
		"entries twice":         {"apiVersion: v1\nentries: {}\nentries: {}\n", "entries twice"},
		"entries twice in JSON": {`{"apiVersion": "v1", "entries": {}, "entries": {}}`, "entries twice"},
		"something behind JSON": {`{"apiVersion": "v1", "entries": {}} canary`, "follows its end"},
		"charts without end":    {charts.String(), "more than 100000 charts"},
		"S-14, a value":         {`{"apiVersion": "v1", "entries": {"a": [{"name": "` + strings.Repeat("x", 8<<20) + `"}]}}`, "more than 1048576 bytes"},
		"S-14, no JSON":         {"{apiVersion: v1, entries: {" + strings.Repeat("a: [],\n", 1<<20) + "}}", "write it as `helm repo index`"},
		"S-16, depth":           {"{apiVersion: v1, entries: " + strings.Repeat("[", 100_000), "not YAML with charts"},
		"S-16, depth in JSON":   {`{"apiVersion": "v1", "entries": {"a": ` + strings.Repeat("[", 100_000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := helmrepo.Read(strings.NewReader(tc.index))
			if err == nil || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "canary") || len(err.Error()) > 300 {
				t.Errorf("got %.400v, want %q", err, tc.text)
			}
		})
	}
}

// TestIndexOfHelm: what Helm's own library makes of a folder of charts is read back as that library reads it.
func TestIndexOfHelm(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, version := range []string{"0.1.0", "1.0.0", "1.1.0-alpha"} {
		c := &chart.Chart{Metadata: &chart.Metadata{
			APIVersion: "v2", Name: "demo", Version: version, Description: "a: b\n- c\n\n  entries:\n# d",
			Keywords: []string{"x: y"}, Annotations: map[string]string{"notes": "- a\n- b\n", "empty": ""},
		}}
		if _, err := chartutil.Save(c, dir); err != nil {
			t.Fatal(err)
		}
	}
	index, err := repo.IndexDirectory(dir, "https://charts.example.com/x")
	if err != nil {
		t.Fatal(err)
	}
	index.SortEntries()
	for name, write := range map[string]func(string, os.FileMode) error{"YAML": index.WriteFile, "JSON": index.WriteJSONFile} {
		file := filepath.Join(dir, name)
		if err := write(file, 0o600); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, asked := range []string{"", "0.x", "1.1.0-alpha", ">=1.0.0-0"} {
			want, err := index.Get("demo", asked)
			if err != nil {
				t.Fatal(err)
			}
			if got := find(t, string(data), "demo", asked); got != want.Version+" "+want.URLs[0] {
				t.Errorf("%s, %q: got %s, want %s", name, asked, got, want.Version)
			}
		}
		x, err := helmrepo.Read(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		v, err := x.Find(bytes.NewReader(data), "demo", "1.0.0")
		if want, _ := index.Get("demo", "1.0.0"); err != nil || v.Digest != want.Digest || v.Created != want.Created.Format(time.RFC3339Nano) {
			t.Errorf("%s: %+v, want digest %s, %v", name, v, want.Digest, err)
		}
	}
}

func TestIndexesAreKeptWithinALimit(t *testing.T) {
	t.Parallel()
	kept := &helmrepo.Indexes{Limit: 4 << 10}
	get := func(digest string) *helmrepo.Index {
		x, err := kept.Get(digest, strings.NewReader(written))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	first, second := get("first"), get("second")
	if get("second") != second || get("first") != first {
		t.Error("an index was gone through twice")
	}
	for i := range 10 {
		get(fmt.Sprint(i))
		if get("first") != first {
			t.Fatal("the one that is used all the time went")
		}
	}
	if get("second") == second {
		t.Error("nothing goes, whatever there is")
	}
	if _, err := kept.Get("bad", strings.NewReader("")); !errors.Is(err, helmrepo.ErrIndex) {
		t.Errorf("got %v", err)
	}
}

// counting notes that it is read.
type counting struct {
	*strings.Reader
	reads *atomic.Int32
}

func (c counting) Seek(offset int64, whence int) (int64, error) {
	c.reads.Add(1)
	return c.Reader.Seek(offset, whence)
}

// TestAnIndexIsReadOnceForAllCharts: however many look something up in it at the same time.
func TestAnIndexIsReadOnceForAllCharts(t *testing.T) {
	t.Parallel()
	kept := &helmrepo.Indexes{Limit: 1 << 20}
	var reads atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			file := strings.NewReader(written)
			x, err := kept.Get("digest", counting{file, &reads})
			if err != nil {
				t.Error(err)
				return
			}
			if v, err := x.Find(file, "web", "1.0.0"); err != nil || v.Version != "1.0.0" {
				t.Errorf("found %+v, %v", v, err)
			}
		})
	}
	all.Wait()
	if reads.Load() != 1 {
		t.Errorf("it was read %d times", reads.Load())
	}
}
