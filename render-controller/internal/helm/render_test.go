package helm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/release"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestGolden(t *testing.T) {
	upgrade := v1alpha1.ReleaseParameters{Revision: 4}
	tests := map[string]func(*Input){
		"install": func(*Input) {},
		"upgrade": func(in *Input) { in.Parameters, in.CRDs = upgrade, CRDsSkip },
		"overrides": func(in *Input) {
			in.Values = decode(t, `{"replicas":3,"db":{"enabled":false},"cache":{"enabled":true}}`)
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			in := input(packDir(t, "web"))
			change(&in)
			out, err := Render(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "web."+name+".golden")
			got := describe(t, out)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

// describe is everything a rendering says, as text.
func describe(t *testing.T, out Output) string {
	t.Helper()
	record := recordOf(t, out)
	var text strings.Builder
	fmt.Fprintf(&text, "chart %s %s %s\nrelease %s in %s, version %d, status %q, config %v\nnotes %q\nunsupported %v\n",
		out.ChartName, out.ChartVersion, out.AppVersion, record.Name, record.Namespace, record.Version, record.Info.Status, record.Config,
		record.Info.Notes, out.Unsupported)
	for _, hook := range record.Hooks {
		fmt.Fprintf(&text, "hook %s %s/%s\n", hook.Events, hook.Kind, hook.Name)
	}
	fmt.Fprintf(&text, "\n==== manifest\n%s\n==== objects\n", record.Manifest)
	for _, object := range out.Content.Objects {
		document, err := yaml.Marshal(object.Object.Object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "---\n%s", document)
	}
	return text.String()
}

func recordOf(t *testing.T, out Output) *release.Release {
	t.Helper()
	var record release.Release
	if err := json.Unmarshal(out.Content.Release, &record); err != nil {
		t.Fatal(err)
	}
	return &record
}

func decode(t *testing.T, text string) (values map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

func TestIdentity(t *testing.T) {
	base := input(packDir(t, "web"))
	base.Values = decode(t, `{"a":1,"b":{"c":2}}`)
	tests := map[string]struct {
		reason string
		change func(*Input)
		same   bool
	}{
		"again":      {"nothing changed", func(*Input) {}, true},
		"parameters": {"a new revision number is no new content", func(in *Input) { in.Parameters = v1alpha1.ReleaseParameters{Revision: 9} }, true},
		"cluster":    {"neither is another version of the cluster", func(in *Input) { in.Capabilities = Capabilities{KubeVersion: "v1.35.0"} }, true},
		"policy":     {"Create is the default", func(in *Input) { in.CRDs = CRDsCreate }, true},
		"order":      {"the order of keys means nothing", func(in *Input) { in.Values = decode(t, `{"b":{"c":2},"a":1}`) }, true},
		"chart":      {"another chart", func(in *Input) { in.ChartDigest = "sha256:beef" }, false},
		"values":     {"another value", func(in *Input) { in.Values = decode(t, `{"a":1,"b":{"c":3}}`) }, false},
		"name":       {"another name", func(in *Input) { in.ReleaseName = "other" }, false},
		"namespace":  {"another namespace", func(in *Input) { in.Namespace = "other" }, false},
		"CRDs":       {"install and upgrade may have policies of their own", func(in *Input) { in.CRDs = CRDsSkip }, true},
		"subject":    {"another HelmRelease: labels differ", func(in *Input) { in.SubjectName = "other" }, false},
	}
	want, err := Render(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := base
			tt.change(&in)
			got, err := Render(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if same := bytes.Equal(bytes.Join(want.Identity, []byte{0}), bytes.Join(got.Identity, []byte{0})); same != tt.same {
				t.Errorf("%s: same identity %t, want %t", tt.reason, same, tt.same)
			}
		})
	}
}

func TestSameInputSameOutput(t *testing.T) {
	in := input(packDir(t, "web"))
	in.Values = decode(t, `{"greeting":"hi"}`)
	before, _ := json.Marshal(in.Values)
	var first string
	for i := range 5 {
		out, err := Render(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		got := describe(t, out) + string(out.Content.Release)
		if i == 0 {
			first = got
		} else if got != first {
			t.Fatal("the same input was rendered differently")
		}
	}
	if after, _ := json.Marshal(in.Values); !bytes.Equal(before, after) {
		t.Errorf("values were changed from %s to %s", before, after)
	}
}

func TestLookups(t *testing.T) {
	kept := `{{ $old := lookup "v1" "Secret" .Release.Namespace "kept" }}{{ range (lookup "apps/v1" "Deployment" "" "").items }}{{ fail "one" }}{{ end }}
{{ $again := lookup "v1" "Secret" "" "other" }}
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {found: {{ $old | toJson | quote }}, address: {{ getHostByName "localhost" | quote }}}
`
	out, err := Render(t.Context(), input(small(t, map[string]string{"templates/a.yaml": kept})))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"v1/Secret", "apps/v1/Deployment"}, out.Lookups); diff != "" {
		t.Errorf("what was looked up (-want +got):\n%s", diff)
	}
	if data := out.Content.Objects[0].Object.Object["data"].(map[string]any); data["found"] != "{}" || data["address"] != "" {
		t.Errorf("templates were told %v", data)
	}
}

func TestHooks(t *testing.T) {
	hook := func(name, events string) string {
		return fmt.Sprintf("apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: %s\n  annotations:\n    helm.sh/hook: %s\n", name, events)
	}
	chart := small(t, map[string]string{
		"templates/a.yaml": hook("migrate", "pre-install,pre-upgrade"),
		"templates/b.yaml": hook("clean", "post-delete"),
		"templates/c.yaml": hook("check", "test"),
		"templates/d.yaml": hook("back", "pre-rollback"),
	})
	tests := map[string]struct {
		reason string
		ignore []string
		want   []string
	}{
		"all":      {"hooks that would have to run are listed", nil, []string{"Job/clean: hook post-delete", "Job/migrate: hook pre-install,pre-upgrade"}},
		"some":     {"hooks of a disabled event are not", []string{"pre-install", "post-delete"}, []string{"Job/migrate: hook pre-upgrade"}},
		"disabled": {"with all disabled nothing stands in the way", []string{"pre-install", "pre-upgrade", "post-delete"}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := input(chart)
			in.IgnoreHooks = tt.ignore
			out, err := Render(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, out.Unsupported); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
			if got := len(recordOf(t, out).Hooks); got != 4 || len(out.Content.Objects) != 0 {
				t.Errorf("got %d hooks recorded and %d objects, want all 4 recorded and none applied", got, len(out.Content.Objects))
			}
		})
	}
}

func TestRefused(t *testing.T) {
	object := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"
	tests := map[string]struct {
		reason string
		files  map[string]string
		change func(*Input)
		want   []string
	}{
		"required":         {"the template and the chart's own words", map[string]string{"templates/a.yaml": `a: {{ required "set .Values.host" .Values.host }}`}, nil, []string{"small-0.1.0", "templates/a.yaml", "set .Values.host"}},
		"fail":             {"so does fail", map[string]string{"templates/a.yaml": `{{ fail "no" }}`}, nil, []string{"templates/a.yaml", "no"}},
		"syntax":           {"a template that does not parse", map[string]string{"templates/a.yaml": `{{ if }}`}, nil, []string{"templates/a.yaml"}},
		"YAML":             {"output that is not YAML", map[string]string{"templates/a.yaml": "a: b: c"}, nil, []string{"templates/a.yaml"}},
		"scalar":           {"output that is a text", map[string]string{"templates/a.yaml": "just text"}, nil, []string{"templates/a.yaml"}},
		"nameless":         {"an object without name", map[string]string{"templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\n"}, nil, []string{"templates/a.yaml", "metadata.name"}},
		"kindless":         {"an object without kind", map[string]string{"templates/a.yaml": "apiVersion: v1\nmetadata: {name: a}\n"}, nil, []string{"kind"}},
		"twice":            {"an object rendered twice", map[string]string{"templates/a.yaml": object, "templates/b.yaml": object}, nil, []string{"small/templates/a.yaml and small/templates/b.yaml both render ConfigMap/a"}},
		"labels":           {"labels that are none", map[string]string{"templates/a.yaml": object + "  labels: [a]\n"}, nil, []string{"metadata.labels is not a map"}},
		"kubernetes":       {"a chart for other clusters", map[string]string{"Chart.yaml": "apiVersion: v2\nname: small\nversion: 0.1.0\nkubeVersion: <1.20.0\n"}, nil, []string{"requires Kubernetes <1.20.0", "v1.36.3"}},
		"library":          {"library charts cannot be installed", map[string]string{"Chart.yaml": "apiVersion: v2\nname: small\nversion: 0.1.0\ntype: library\n"}, nil, []string{"library"}},
		"dependency":       {"a dependency that is not packaged", map[string]string{"Chart.yaml": "apiVersion: v2\nname: small\nversion: 0.1.0\ndependencies: [{name: db, version: 1.0.0}]\n"}, nil, []string{"lacks its dependency db"}},
		"schema":           {"values against the schema: path and rule, not the value", map[string]string{"values.schema.json": `{"properties":{"a":{"properties":{"b":{"pattern":"^x"}}}}}`}, func(in *Input) { in.Values = map[string]any{"a": map[string]any{"b": "canary"}} }, []string{"values.a.b", `"^x"`}},
		"schema of subs":   {"values of a subchart against its schema", map[string]string{"charts/db/Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.0.0\n", "charts/db/values.schema.json": `{"required":["size"]}`}, func(in *Input) { in.Values = map[string]any{"db": map[string]any{"a": 1.0}} }, []string{"chart db", "size"}},
		"schema by URL":    {"a schema must not make the controller fetch", map[string]string{"values.schema.json": `{"$ref":"http://169.254.169.254/latest"}`}, nil, []string{"169.254.169.254", "only references within the file"}},
		"schema by file":   {"nor read files", map[string]string{"values.schema.json": `{"$ref":"file:///etc/passwd"}`}, nil, []string{"/etc/passwd", "only references within the file"}},
		"schema broken":    {"a schema that is no JSON", map[string]string{"values.schema.json": `{`}, nil, []string{"values.schema.json of chart small"}},
		"release name":     {"Helm's names are DNS labels", nil, func(in *Input) { in.ReleaseName = "Not_A_Name" }, []string{"Not_A_Name"}},
		"policy":           {"an unknown CRD policy", nil, func(in *Input) { in.CRDs = "Replace" }, []string{"Replace", "CreateReplace"}},
		"revision":         {"revisions count from 1", nil, func(in *Input) { in.Parameters = v1alpha1.ReleaseParameters{} }, []string{"revision 0"}},
		"subject":          {"labels need the HelmRelease", nil, func(in *Input) { in.SubjectName = "" }, []string{"HelmRelease"}},
		"endless":          {"a template that includes itself", map[string]string{"templates/a.yaml": `{{ define "x" }}{{ include "x" . }}{{ end }}{{ include "x" . }}`}, nil, []string{"nested reference"}},
		"values not table": {"a value that is no table where a subchart is", map[string]string{"charts/db/Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.0.0\n"}, func(in *Input) { in.Values = map[string]any{"db": "canary"} }, []string{"db"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := input(small(t, tt.files))
			if tt.change != nil {
				tt.change(&in)
			}
			_, err := Render(t.Context(), in)
			if err == nil {
				t.Fatalf("%s: got no error", tt.reason)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %q, want it to say %q", tt.reason, err, want)
				}
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: the error quotes a value: %q", tt.reason, err)
			}
		})
	}
}

func TestSkipSchema(t *testing.T) {
	in := input(small(t, map[string]string{"values.schema.json": `{"required":["host"]}`}))
	in.SkipSchema = true
	if _, err := Render(t.Context(), in); err != nil {
		t.Errorf("got %v, want the schema left alone", err)
	}
}

func TestStopped(t *testing.T) {
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Render(stopped, input(packDir(t, "web"))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestLongErrorIsCut(t *testing.T) {
	in := input(small(t, map[string]string{"templates/a.yaml": `{{ fail (repeat 100000 "ü") }}`}))
	_, err := Render(t.Context(), in)
	if err == nil || len(err.Error()) > maxMessage+200 {
		t.Errorf("got an error of %d bytes", len(fmt.Sprint(err)))
	}
}
