package kustomize

import (
	"strings"
	"testing"

	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"
	"github.com/google/go-cmp/cmp"
)

const bigThing = `apiVersion: example.com/v1
kind: Thing
metadata: {name: a, annotations: {n: "9123456789012345678"}}
spec:
  id: 9123456789012345678 # the largest
  negative: -9223372036854775807
  odd: &odd 9007199254740993
  again: *odd
  even: 9007199254740992
  hex: 0x7e9c6e4e2f3a1b72
  text: "9123456789012345678"
  list: [9123456789012345678, {deep: 9123456789012345678}]
  block: |
    9123456789012345678
  v: ${v}
`

const bigSpec = `
  id: 9123456789012345678
  negative: -9223372036854775807
  odd: 9007199254740993
  again: 9007199254740993
  even: 9007199254740992
  hex: 9123288227224623986
  text: "9123456789012345678"
  list: [9123456789012345678, {deep: 9123456789012345678}]
  block: |
    9123456789012345678
`

// TestIntegersAreExact: an integer of 64 bits is what the author wrote, on whatever path its object takes.
func TestIntegersAreExact(t *testing.T) {
	substitution := &Substitution{Variables: map[string]string{"v": "x"}}
	for name, tt := range map[string]struct {
		files map[string]string
		in    Input
		want  string // of the spec, beside bigSpec
	}{
		"as it is":     {nil, Input{}, "  v: ${v}\n"},
		"substitution": {nil, Input{Substitution: substitution}, "  v: x\n"},
		"merge patch": {map[string]string{"kustomization.yaml": "resources: [a.yaml]\npatches:\n- patch: |\n    apiVersion: example.com/v1\n    kind: Thing\n" +
			"    metadata: {name: a}\n    spec: {n: 9123456789012345677}\n"}, Input{}, "  v: ${v}\n  n: 9123456789012345677\n"},
		"JSON patch": {map[string]string{"kustomization.yaml": "resources: [a.yaml]\npatches:\n- target: {kind: Thing}\n  patch: |-\n    - op: add\n      path: /spec/n\n      value: 9123456789012345677\n" +
			"- target: {kind: Thing}\n  patch: '[{\"op\": \"test\", \"path\": \"/spec/id\", \"value\": 9123456789012345678}]'\n"}, Input{}, "  v: ${v}\n  n: 9123456789012345677\n"},
		"JSON patch in a file": {map[string]string{"kustomization.yaml": "resources: [a.yaml]\npatches:\n- {target: {kind: Thing}, path: patch.json}\n",
			"patch.json": `[{"op": "add", "path": "/spec/n", "value": {"é": 1, "x": 9123456789012345677}}]`}, Input{}, "  v: ${v}\n  n: {é: 1, x: 9123456789012345677}\n"},
		"JSON patch of old": {map[string]string{"kustomization.yaml": "resources: [a.yaml]\npatchesJson6902:\n- {target: {version: v1, group: example.com, kind: Thing, name: a}, path: patch.yaml}\n",
			"patch.yaml": "- {op: add, path: /spec/n, value: 9123456789012345677}\n"}, Input{}, "  v: ${v}\n  n: 9123456789012345677\n"},
		"JSON patch of the subject": {nil, Input{Patches: patches(`[{"op": "add", "path": "/spec/n", "value": 9123456789012345677}]`), Substitution: substitution}, "  v: x\n  n: 9123456789012345677\n"},
		"JSON patch of a base": {map[string]string{"kustomization.yaml": "resources: [base]\npatches:\n- target: {kind: Thing}\n  patch: '[{\"op\": \"remove\", \"path\": \"/spec/v\"}]'\n",
			"base/kustomization.yaml": "resources: [../a.yaml]\n"}, Input{}, ""},
		"JSON patch of a component": {map[string]string{"kustomization.yaml": "resources: [a.yaml]\ncomponents: [part]\n",
			"part/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n- target: {kind: Thing}\n  patch: |-\n" +
				"    - {op: test, path: /spec/id, value: 9123456789012345678}\n    - {op: add, path: /spec/n, value: 9123456789012345677}\n"}, Input{}, "  v: ${v}\n  n: 9123456789012345677\n"},
		"replacement": {map[string]string{"kustomization.yaml": "resources: [a.yaml]\nreplacements:\n- source: {kind: Thing, fieldPath: spec.id}\n  targets:\n" +
			"  - {select: {kind: Thing}, fieldPaths: [spec.n], options: {create: true}}\n"}, Input{}, "  v: ${v}\n  n: 9123456789012345678\n"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"a.yaml": bigThing}
			for file, content := range tt.files {
				files[file] = content
			}
			got := built(t, files, &tt.in, "a")
			if diff := cmp.Diff(parsed(t, "spec:"+bigSpec+strings.Replace(tt.want, "  n:", `  "n":`, 1))["spec"], got["spec"]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if n := got["metadata"].(map[string]any)["annotations"].(map[string]any)["n"]; n != "9123456789012345678" {
				t.Errorf("annotation %q", n)
			}
		})
	}
}

// TestProtectedIntegersStayInObjects: what a generator takes, and a text that looks like one of ours, are nobody's integers.
func TestProtectedIntegersStayInObjects(t *testing.T) {
	files := map[string]string{
		"kustomization.yaml": "resources: [a.yaml]\ngeneratorOptions: {disableNameSuffixHash: true}\nconfigMapGenerator:\n- {name: made, files: [big.json], literals: [n=9123456789012345678]}\n" +
			"replacements:\n- source: {kind: Thing, fieldPath: spec.id}\n  targets:\n  - {select: {name: made}, fieldPaths: [data.id], options: {create: true}}\n" +
			"patches:\n- target: {kind: Thing}\n  patch: '[{\"op\": \"add\", \"path\": \"/spec/x\", \"value\": \"" + protection + "9123456789012345677\"}]'\n",
		"a.yaml":   "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\nspec: {id: 9123456789012345678}\n",
		"big.json": `{"id": 9123456789012345678}`,
	}
	got := built(t, files, &Input{}, "made")
	want := map[string]any{"big.json": `{"id": 9123456789012345678}`, "n": "9123456789012345678", "id": "9123456789012345678"}
	if diff := cmp.Diff(want, got["data"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if x := built(t, files, &Input{}, "a")["spec"].(map[string]any)["x"]; x != protection+"9123456789012345677" {
		t.Errorf("a text of the author's became %v", x)
	}
}

// TestReplacementsKeepTexts: a text that a replacement copies is a text where it arrives.
func TestReplacementsKeepTexts(t *testing.T) {
	for name, value := range map[string]string{
		"boolean": "true", "float": "20230921.12345678", "octal": "0080", "integer": "12", "date": "2026-01-02", "sci": "1e3", "plain": "x",
	} {
		t.Run(name, func(t *testing.T) {
			got := built(t, map[string]string{
				"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from}\ndata: {x: \"" + value + "\"}\n---\n" +
					"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  text: a\n  nothing:\n  number: '1'\n---\n" + thingDefinition,
				"b.yaml": "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: b}\nspec: {free: {}}\n",
				"kustomization.yaml": "resources: [b.yaml, a.yaml]\nreplacements:\n- source: {kind: ConfigMap, name: from, fieldPath: data.x}\n  targets:\n" +
					"  - {select: {kind: ConfigMap, name: a}, fieldPaths: [data.text, data.nothing, data.number]}\n" +
					"  - {select: {kind: ConfigMap, name: a}, fieldPaths: [data.made, metadata.labels.x, metadata.annotations.x], options: {create: true}}\n" +
					"  - {select: {kind: Thing}, fieldPaths: [spec.text], options: {create: true}}\n",
			}, &Input{}, "a")
			want := map[string]any{
				"apiVersion": "v1", "kind": "ConfigMap",
				"metadata": map[string]any{"name": "a", "labels": map[string]any{"x": value}, "annotations": map[string]any{"x": value}},
				"data":     map[string]any{"text": value, "nothing": value, "number": value, "made": value},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestReplacementsKeepNumbers: what is a number stays one, and an author's mistake is the author's.
func TestReplacementsKeepNumbers(t *testing.T) {
	got := built(t, map[string]string{
		"a.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 3, revisionHistoryLimit: null}\n---\n" +
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from}\ndata: {n: \"5\"}\n",
		"kustomization.yaml": "resources: [a.yaml]\nreplacements:\n- source: {kind: ConfigMap, name: from, fieldPath: data.n}\n  targets:\n" +
			"  - {select: {kind: Deployment}, fieldPaths: [spec.replicas, spec.revisionHistoryLimit]}\n" +
			"  - {select: {kind: Deployment}, fieldPaths: [spec.minReadySeconds], options: {create: true}}\n",
	}, &Input{}, "a")
	want := map[string]any{"replicas": int64(5), "revisionHistoryLimit": int64(5), "minReadySeconds": int64(5)}
	if diff := cmp.Diff(want, got["spec"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	mistake := built(t, map[string]string{
		"a.yaml":             "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: a, wrong: true}\n",
		"kustomization.yaml": "resources: [a.yaml]\nreplacements:\n- sourceValue: b\n  targets: [{select: {name: a}, fieldPaths: [data.x]}]\n",
	}, &Input{}, "a")
	if diff := cmp.Diff(map[string]any{"x": "b", "wrong": true}, mistake["data"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// patches are a subject's own, for its Things.
func patches(patch string) []fluxkustomize.Patch {
	return []fluxkustomize.Patch{{Patch: patch, Target: &fluxkustomize.Selector{Kind: "Thing"}}}
}
