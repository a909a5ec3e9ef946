package kustomize

import (
	"errors"
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	cases := map[string]struct {
		reason string
		files  map[string]string
		want   []string
	}{
		"remote resource":       {"it would be fetched", map[string]string{"kustomization.yaml": "resources: [a.yaml, 'https://example.com/a.yaml']"}, []string{"kustomization.yaml", "resources[1]", "remote"}},
		"remote base":           {"it would be cloned", map[string]string{"kustomization.yaml": "bases: ['github.com/org/repo?ref=main']"}, []string{"bases[0]", "remote"}},
		"scp address":           {"it would be cloned", map[string]string{"kustomization.yaml": "resources: ['git@example.com:org/repo']"}, []string{"resources[0]"}},
		"other user":            {"it would be cloned", map[string]string{"kustomization.yaml": "resources: ['deploy@example.com:org/repo']"}, []string{"resources[0]"}},
		"ssh":                   {"it would be cloned", map[string]string{"kustomization.yaml": "resources: ['SSH://git@example.com/org/repo']"}, []string{"resources[0]"}},
		"forced git":            {"it would be cloned", map[string]string{"kustomization.yaml": "resources: ['git::https://example.com/org/repo']"}, []string{"resources[0]"}},
		"host with a ref":       {"a user can only mean a clone", map[string]string{"kustomization.yaml": "resources: ['example.com/org/repo?ref=v1']"}, []string{"resources[0]"}},
		"oci":                   {"a user can only mean a pull", map[string]string{"kustomization.yaml": "resources: ['oci://example.com/a']"}, []string{"resources[0]"}},
		"file URL":              {"it would be cloned", map[string]string{"kustomization.yaml": "resources: ['file:///etc']"}, []string{"resources[0]"}},
		"opaque http":           {"Go takes it for a URL", map[string]string{"kustomization.yaml": "resources: ['http:x']"}, []string{"resources[0]"}},
		"remote component":      {"it would be cloned", map[string]string{"kustomization.yaml": "resources: [a.yaml]\ncomponents: ['https://example.com/c']"}, []string{"components[0]"}},
		"remote patch":          {"it would be fetched", map[string]string{"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: 'https://example.com/p.yaml'}]"}, []string{"patches[0].path"}},
		"remote old patch":      {"it would be fetched", map[string]string{"kustomization.yaml": "resources: [a.yaml]\npatchesStrategicMerge: ['https://example.com/p.yaml']"}, []string{"patchesStrategicMerge[0]"}},
		"remote JSON patch":     {"it would be fetched", map[string]string{"kustomization.yaml": "resources: [a.yaml]\npatchesJson6902: [{path: 'https://example.com/p.yaml', target: {kind: ConfigMap, name: a, version: v1}}]"}, []string{"patchesJson6902[0].path"}},
		"remote crd":            {"it would be fetched", map[string]string{"kustomization.yaml": "resources: [a.yaml]\ncrds: ['https://example.com/c.yaml']"}, []string{"crds[0]"}},
		"remote schema":         {"it would be fetched", map[string]string{"kustomization.yaml": "resources: [a.yaml]\nopenapi: {path: 'https://example.com/s.json'}"}, []string{"openapi.path"}},
		"remote configuration":  {"it would be fetched", map[string]string{"kustomization.yaml": "resources: [a.yaml]\nconfigurations: ['https://example.com/c.yaml']"}, []string{"configurations[0]"}},
		"remote replacement":    {"it would be fetched", map[string]string{"kustomization.yaml": "resources: [a.yaml]\nreplacements: [{path: 'https://example.com/r.yaml'}]"}, []string{"replacements[0].path"}},
		"remote generator file": {"it would be fetched", map[string]string{"kustomization.yaml": "configMapGenerator: [{name: g, files: ['k=https://example.com/f']}]"}, []string{"configMapGenerator[0].files[0]"}},
		"remote secret env":     {"it would be fetched", map[string]string{"kustomization.yaml": "secretGenerator: [{name: g, envs: ['https://example.com/f']}]"}, []string{"secretGenerator[0].envs[0]"}},
		"nested":                {"what is loaded later is inspected too", map[string]string{"kustomization.yaml": "resources: [sub]", "sub/kustomization.yml": "resources: ['https://example.com/a.yaml']"}, []string{"sub/kustomization.yml", "resources[0]"}},
		"nested in a component": {"what is loaded later is inspected too", map[string]string{"kustomization.yaml": "resources: [a.yaml]\ncomponents: [c]", "c/Kustomization": "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\nresources: ['https://example.com/a.yaml']"}, []string{"c/Kustomization", "resources[0]"}},
		"outside":               {"it would leave the artifact", map[string]string{"sub/kustomization.yaml": "resources: [../../x]", "kustomization.yaml": "resources: [sub]"}, []string{"sub/kustomization.yaml", "leads outside"}},
		"absolute":              {"it would leave the artifact", map[string]string{"kustomization.yaml": "resources: [/etc/passwd]"}, []string{"resources[0]", "absolute"}},
		"helm charts":           {"it would run a program", map[string]string{"kustomization.yaml": "helmCharts: [{name: x, repo: 'https://example.com'}]"}, []string{"helmCharts", "HelmRelease"}},
		"helm globals":          {"it would run a program", map[string]string{"kustomization.yaml": "resources: [a.yaml]\nhelmGlobals: {chartHome: charts}"}, []string{"helmGlobals"}},
		"old helm inflation":    {"it would run a program", map[string]string{"kustomization.yaml": "resources: [a.yaml]\nhelmChartInflationGenerator: [{chartName: x}]"}, []string{"helmChartInflationGenerator"}},
		"inline exec":           {"it would run a program", map[string]string{"kustomization.yaml": "generators:\n- |\n  apiVersion: example.com/v1\n  kind: Maker\n  metadata:\n    name: m\n    annotations:\n      config.kubernetes.io/function: 'exec: {path: ./run.sh}'\n"}, []string{"generators[0]", "Maker", "builtin"}},
		"plugin in a file":      {"it would run a program", map[string]string{"kustomization.yaml": "resources: [a.yaml]\ntransformers: [t.yaml]", "t.yaml": "apiVersion: example.com/v1\nkind: Changer\nmetadata: {name: t}\n"}, []string{"Changer"}},
		"builtin helm":          {"it would run a program", map[string]string{"kustomization.yaml": "generators: [g.yaml]", "g.yaml": "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: g}\nname: x\n"}, []string{"g.yaml", "HelmChartInflationGenerator"}},
		"builtin remote patch":  {"it would be fetched", map[string]string{"kustomization.yaml": "resources: [a.yaml]\ntransformers: [t.yaml]", "t.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: t}\npath: https://example.com/p.yaml\n"}, []string{"t.yaml", "remote"}},
		"inline builtin remote": {"it would be fetched", map[string]string{"kustomization.yaml": "resources: [a.yaml]\ntransformers:\n- |\n  apiVersion: builtin\n  kind: PatchTransformer\n  metadata: {name: t}\n  path: https://example.com/p.yaml\n"}, []string{"transformers[0]", "remote"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, ok := c.files["a.yaml"]; !ok {
				c.files["a.yaml"] = settings
			}
			_, err := Build(writeTree(t, c.files), &Input{}, nil)
			var failed *Failure
			if !errors.As(err, &failed) {
				t.Fatalf("%s: error %v, want a Failure", c.reason, err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s: %q does not name %q", c.reason, err, part)
				}
			}
		})
	}
}

func TestIsRemoteLetsPathsThrough(t *testing.T) {
	for _, path := range []string{"a.yaml", "../base", "./a/b", "github.com.yaml", "charts/http/a.yaml", "key=value", "a b", "x:y"} {
		if isRemote(path) {
			t.Errorf("%q counts as remote", path)
		}
	}
}

// FuzzInspect checks that a kustomization file that passes has no entry that kustomize would fetch.
func FuzzInspect(f *testing.F) {
	for _, seed := range []string{
		"resources: [a.yaml]", "resources: ['https://example.com/a']", "components: [git@h:o/r]", "helmCharts: [{name: x}]",
		"generators:\n- |\n  apiVersion: builtin\n  kind: PatchTransformer\n  path: https://x\n", "patches: [{path: ../../x}]", "a: &a [*a]", "",
	} {
		f.Add("apps/kustomization.yaml", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		_ = inspectDocument(name, content)
		k, err := inspect(name, content)
		if err != nil || k == nil {
			return
		}
		for _, e := range paths(k) {
			lower := strings.ToLower(e.value)
			if strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://") || strings.HasPrefix(lower, "git@") || strings.HasPrefix(e.value, "/") {
				t.Errorf("%s %q got through", e.field, e.value)
			}
		}
	})
}
