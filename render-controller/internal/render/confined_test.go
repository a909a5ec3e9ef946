package render

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/helm"
	"github.com/sluice-gitops/sluice/render-controller/internal/kustomize"
	"github.com/sluice-gitops/sluice/render-controller/internal/tree/treetest"
)

// These builds use what could want more than a confined worker has: clocks and their zones, random numbers, keys,
// schemas, files of the artifact.

const bustling = `
resources: [a.yaml]
namePrefix: x-
labels: [{pairs: {team: web}, includeSelectors: true}]
configMapGenerator: [{name: generated, files: [a.txt], envs: [b.env]}]
patches: [{target: {kind: ConfigMap, name: settings}, patch: '[{"op": "replace", "path": "/data/color", "value": "red"}]'}]
replacements: [{source: {kind: ConfigMap, name: settings, fieldPath: data.color}, targets: [{select: {kind: ConfigMap, name: generated}, fieldPaths: [data.color], options: {create: true}}]}]
`

func TestConfinedWorkerBuildsKustomizations(t *testing.T) {
	tree := writeTree(t, map[string]string{"kustomization.yaml": bustling, "a.yaml": settings, "a.txt": "text", "b.env": "key=value\n"})
	result, err := newRenderer(t, 0).Render(t.Context(), &Job{Tree: tree, Kustomize: &kustomize.Input{}}, nil)
	if err != nil || len(result.Content.Objects) != 2 {
		t.Fatalf("result %+v, error %v", result, err)
	}
}

const (
	chartSchema = `{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
		"properties": {"email": {"type": "string", "format": "email"}, "name": {"type": "string", "pattern": "^[a-z]+$"}}}`
	chartTemplate = `apiVersion: v1
kind: ConfigMap
metadata: {name: all}
data:
  now: {{ now | date "2006" | quote }}
  zone: {{ dateInZone "15:04" (toDate "2006-01-02T15:04Z07:00" "2020-05-06T12:00Z") "America/New_York" | quote }}
  random: {{ randAlphaNum 8 | quote }}
  id: {{ uuidv4 | quote }}
  password: {{ htpasswd "user" "password" | quote }}
  key: {{ (genSelfSignedCert "example.org" nil nil 1).Cert | b64enc | quote }}
  host: {{ getHostByName "example.org" | quote }}
  file: {{ .Files.Get "a.txt" | quote }}
  seen: {{ (lookup "v1" "Secret" "a" "b") | toJson | quote }}
  name: {{ tpl "{{ .Values.name | title }}" . | quote }}
`
)

func TestConfinedWorkerRendersCharts(t *testing.T) {
	renderer, file := newRenderer(t, 0), filepath.Join(t.TempDir(), "chart.tgz")
	chart := treetest.Pack(t, map[string]string{
		"all/Chart.yaml": "apiVersion: v2\nname: all\nversion: 0.1.0\n", "all/values.schema.json": chartSchema,
		"all/templates/a.yaml": chartTemplate, "all/a.txt": "text",
	})
	if err := os.WriteFile(file, chart, 0o600); err != nil {
		t.Fatal(err)
	}
	job := &Job{Helm: &helm.Input{
		ChartPath: file, ReleaseName: "all", Namespace: "apps", SubjectName: "all", SubjectNamespace: "apps",
		Values:       map[string]any{"name": "web", "email": "a@example.org"},
		Parameters:   v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true},
		Capabilities: helm.Capabilities{KubeVersion: "v1.36.3"},
	}}
	result, err := renderer.Render(t.Context(), job, nil)
	if err != nil || len(result.Content.Objects) != 1 {
		t.Fatalf("result %+v, error %v", result, err)
	}
	data, _ := result.Content.Objects[0].Object.Object["data"].(map[string]any)
	for key, value := range data {
		if (value == "") != (key == "host") {
			t.Errorf("%s is %q", key, value)
		}
	}
	if data["zone"] != "08:00" {
		t.Errorf("noon in New York is %q", data["zone"])
	}
	job.Helm.Values["name"] = "42"
	var failed *Failure
	if _, err := renderer.Render(t.Context(), job, nil); !errors.As(err, &failed) || !strings.Contains(failed.Message, "name") {
		t.Errorf("error %v, want what the schema says", err)
	}
}
