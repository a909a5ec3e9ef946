package kustomize

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	fluxkustomize "github.com/fluxcd/pkg/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/render-controller/internal/trace"
)

var update = flag.Bool("update", false, "write the golden files")

func readInput(t *testing.T, file string) *Input {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	in := &Input{}
	if err := decoder.Decode(in); err != nil {
		t.Fatal(err)
	}
	return in
}

// text writes objects as one YAML stream, with a comment on those that are tainted.
func text(t *testing.T, objects []Object) string {
	t.Helper()
	var all strings.Builder
	for _, object := range objects {
		document, err := yaml.Marshal(object.Object)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("---\n")
		if object.Tainted {
			all.WriteString("# tainted\n")
		}
		all.Write(document)
	}
	return all.String()
}

// TestGolden builds each case in testdata/build: its tree, by its input.json, into its want.yaml.
func TestGolden(t *testing.T) {
	for _, dir := range cases(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			result, err := Build(writeTree(t, readFiles(t, filepath.Join(dir, "tree"))), readInput(t, filepath.Join(dir, "input.json")), nil)
			if err != nil {
				t.Fatal(err)
			}
			got, golden := text(t, result.Objects), filepath.Join(dir, "want.yaml")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("built:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// TestSameAsFlux builds each case with Flux's generator, on disk, too.
func TestSameAsFlux(t *testing.T) {
	for _, dir := range cases(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			in := readInput(t, filepath.Join(dir, "input.json"))
			in.Substitution, in.Labels, in.Annotations = nil, nil, nil // what Flux does elsewhere
			ours, err := Build(writeTree(t, readFiles(t, filepath.Join(dir, "tree"))), in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := text(t, untainted(ours.Objects)), text(t, fluxBuild(t, filepath.Join(dir, "tree"), in)); got != want {
				t.Errorf("built:\n%s\nFlux builds:\n%s", got, want)
			}
		})
	}
}

func untainted(objects []Object) []Object {
	for i := range objects {
		objects[i].Tainted = false
	}
	return objects
}

func fluxBuild(t *testing.T, from string, in *Input) []Object {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var spec map[string]any
	if err := json.Unmarshal(raw, &spec); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, in.Path)
	generator := fluxkustomize.NewGenerator(root, unstructured.Unstructured{Object: map[string]any{"spec": spec}})
	if _, err := generator.WriteFile(dir); err != nil {
		t.Fatal(err)
	}
	built, err := fluxkustomize.SecureBuild(root, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	var objects []Object
	for _, res := range built.Resources() {
		object, err := toUnstructured(res)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, Object{Unstructured: object})
	}
	return objects
}

func cases(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join("testdata", "build", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatal("no cases in testdata/build", err)
	}
	return dirs
}

// writeTree makes a tree of files by path.
func writeTree(t testing.TB, files map[string]string) Tree {
	t.Helper()
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return tree
}

const settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {color: blue}\n"

func TestFailures(t *testing.T) {
	encrypted := "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\n%s: {token: \"ENC[AES256_GCM,data:aaaa,iv:bb,tag:cc,type:str]\"}\n"
	cases := map[string]struct {
		reason string
		files  map[string]string
		in     Input
		want   []string
		path   bool
	}{
		"path missing":      {"the path is not there", map[string]string{"a.yaml": settings}, Input{Path: "./none"}, []string{"path not found", "./none"}, true},
		"path is a file":    {"a file cannot be built", map[string]string{"a.yaml": settings}, Input{Path: "a.yaml"}, []string{"is a file"}, true},
		"path outside":      {"it would leave the artifact", map[string]string{"a.yaml": settings}, Input{Path: "../x"}, []string{"leads outside"}, true},
		"path climbs":       {"it would leave the artifact", map[string]string{"a/b.yaml": settings}, Input{Path: "a/../../x"}, []string{"leads outside"}, true},
		"invalid YAML":      {"the file and the line are named", map[string]string{"bad.yaml": "apiVersion: v1\nkind: ConfigMap\n  oops: [\n"}, Input{}, []string{"bad.yaml", "line"}, false},
		"no object":         {"it is YAML but no object", map[string]string{"bad.yaml": "hello: world\n"}, Input{}, []string{"bad.yaml"}, false},
		"no name":           {"it is an object without a name", map[string]string{"bad.yaml": "apiVersion: v1\nkind: ConfigMap\n"}, Input{}, []string{"bad.yaml", "name"}, false},
		"no version":        {"it is an object without an apiVersion", map[string]string{"bad.yaml": "kind: ConfigMap\nmetadata: {name: x}\n"}, Input{}, []string{"ConfigMap"}, false},
		"missing resource":  {"a kustomization names what is not there", map[string]string{"kustomization.yaml": "resources: [none.yaml]"}, Input{}, []string{"none.yaml"}, false},
		"unknown field":     {"kustomize refuses it", map[string]string{"kustomization.yaml": "resources: [sub]", "sub/kustomization.yaml": "resource: [a.yaml]"}, Input{}, []string{"sub", "resource"}, false},
		"duplicate objects": {"kustomize refuses it", map[string]string{"a.yaml": settings, "b.yaml": settings}, Input{}, []string{"settings"}, false},
		"encrypted data":    {"nobody decrypts it", map[string]string{"s.yaml": strings.ReplaceAll(encrypted, "%s", "stringData")}, Input{}, []string{"Secret/token", "spec.decryption"}, false},
		"missing variable":  {"substitution is strict", map[string]string{"a.yaml": strings.Replace(settings, "blue", `"${none}"`, 1)}, Input{Substitution: &Substitution{Variables: map[string]string{"x": "y"}}}, []string{"ConfigMap/settings", "none"}, false},
		"bad variable name": {"substitution is strict", map[string]string{"a.yaml": settings}, Input{Substitution: &Substitution{Variables: map[string]string{"a-b": "y"}}}, []string{"a-b"}, false},
		"missing component": {"it is not ignored", map[string]string{"a.yaml": settings}, Input{Components: []string{"none"}}, []string{"none"}, false},
		"remote component":  {"it comes from the spec", map[string]string{"a.yaml": settings}, Input{Components: []string{"https://example.com/c"}}, []string{"spec.components[0]", "remote"}, false},
		"alias bomb":        {"it would grow without end", map[string]string{"a.yaml": bomb()}, Input{}, []string{"a.yaml"}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Build(writeTree(t, c.files), &c.in, nil)
			var failed *Failure
			if !errors.As(err, &failed) || failed.PathMissing != c.path {
				t.Fatalf("%s: error %v, want a Failure with PathMissing %v", c.reason, err, c.path)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s: %q does not name %q", c.reason, err, part)
				}
			}
			if strings.Contains(err.Error(), mount) {
				t.Errorf("%q shows where the artifact is mounted", err)
			}
		})
	}
}

// bomb is a YAML document whose aliases grow to a billion values.
func bomb() string {
	var all strings.Builder
	all.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\ndata:\n  a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		level, before := string(rune('0'+i)), string(rune('0'+i-1))
		all.WriteString("  a" + level + ": &a" + level + " [" + strings.Repeat("*a"+before+",", 9) + "*a" + before + "]\n")
	}
	return all.String()
}

func TestAliases(t *testing.T) {
	root := writeTree(t, map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: &l {x: y}}\ndata: *l\n"})
	if _, err := Build(root, &Input{}, nil); err != nil {
		t.Errorf("an ordinary alias is refused: %v", err)
	}
	for name, content := range map[string]string{"bomb": bomb(), "cycle": "a: &a {b: *a}\n"} {
		if err := checkAliases("x.yaml", []byte(content)); err == nil {
			t.Errorf("%s got through", name)
		}
	}
}

func TestOptedOutSecret(t *testing.T) {
	root := writeTree(t, map[string]string{"s.yaml": "apiVersion: v1\nkind: Secret\nmetadata:\n  name: token\n  annotations: {" + decryptKey +
		": disabled}\nstringData: {token: \"ENC[AES256_GCM,data:aaaa,iv:bb,tag:cc,type:str]\"}\n"})
	result, err := Build(root, &Input{}, nil)
	if err != nil || len(result.Objects) != 1 || !result.Objects[0].Tainted {
		t.Errorf("objects %+v, error %v", result.Objects, err)
	}
}

func TestSecretVariableTaintsWhatItTouches(t *testing.T) {
	root := writeTree(t, map[string]string{
		"a.yaml": strings.Replace(settings, "blue", `"${token}"`, 1), "b.yaml": strings.Replace(settings, "settings", "plain", 1),
	})
	result, err := Build(root, &Input{Substitution: &Substitution{Variables: map[string]string{"token": "hunter22"}, Secret: []string{"token"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range result.Objects {
		if want := object.GetName() == "settings"; object.Tainted != want {
			t.Errorf("%s is tainted: %v, want %v", object.GetName(), object.Tainted, want)
		}
	}
	for name, c := range map[string]struct{ reason, data, token, want string }{
		"no YAML":        {"the value would be said in full", "color: ${token}", "{hunter22: [", "withheld"},
		"an alias":       {"a part of the value would be said", "color: ${token}", "*hunter22 # x", "withheld"},
		"unset variable": {"no value is in it yet", "color: ${none}", "hunter22", "none"},
	} {
		root = writeTree(t, map[string]string{"a.yaml": "apiVersion: example.com/v1\nkind: Thing\nmetadata:\n  name: settings\nspec:\n  " + c.data + "\n"})
		_, err := Build(root, &Input{Substitution: &Substitution{Variables: map[string]string{"token": c.token}, Secret: []string{"token"}}}, nil)
		if err == nil || strings.Contains(err.Error(), "hunter22") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s (%s): error %v, want one that does not repeat the value", name, c.reason, err)
		}
	}
}

func TestSchemaOfItsOwn(t *testing.T) {
	schema := `{"definitions":{"com.example.v1.Thing":{"type":"object","x-kubernetes-group-version-kind":[{"group":"example.com","kind":"Thing","version":"v1"}]}}}`
	result, err := Build(writeTree(t, map[string]string{
		"kustomization.yaml": "resources: [a.yaml]\nopenapi: {path: schema.json}\n", "a.yaml": settings, "schema.json": schema,
	}), &Input{}, nil)
	if err != nil || !result.SchemaChanged {
		t.Errorf("schema changed: %v, error %v; want it changed", result.SchemaChanged, err)
	}
}

func TestTrace(t *testing.T) {
	result, err := Build(writeTree(t, map[string]string{"kustomization.yaml": "resources: [a.yaml]", "a.yaml": settings, "b.yaml": settings}), &Input{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []trace.Entry{
		{Call: trace.CallRead, Path: "a.yaml", Answer: trace.Content([]byte(settings))},
		{Call: trace.CallStat, Path: ".", Answer: trace.Directory},
	} {
		if !slices.Contains(result.Trace, want) {
			t.Errorf("the trace lacks %+v: %+v", want, result.Trace)
		}
	}
	if slices.ContainsFunc(result.Trace, func(e trace.Entry) bool { return e.Call == trace.CallRead && e.Path == "b.yaml" }) {
		t.Error("the trace has a file that was not read")
	}
}
