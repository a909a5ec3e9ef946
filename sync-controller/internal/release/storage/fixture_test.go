package storage

import (
	"encoding/json"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	helm "helm.sh/helm/v3/pkg/release"
)

const manifest = `---
# Source: web/templates/config.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: web
data:
  greeting: hello
---
# Source: web/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  annotations:
    helm.sh/resource-policy: keep
  name: web
`

// rendered is a release as render-controller hands it over.
func rendered(t testing.TB, version string, config map[string]any) *Release {
	t.Helper()
	raw, err := json.Marshal(&helm.Release{
		Name: "web", Namespace: "apps", Config: config, Manifest: manifest,
		Chart: &chart.Chart{
			Metadata:  &chart.Metadata{APIVersion: "v2", Name: "web", Version: version, AppVersion: "7.1", KubeVersion: ">=1.30"},
			Templates: []*chart.File{{Name: "templates/config.yaml", Data: []byte("kind: ConfigMap")}},
			Values:    map[string]any{"replicas": 1},
		},
		Hooks: []*helm.Hook{
			{Name: "web-test", Kind: "Pod", Path: "web/templates/test.yaml", Manifest: "kind: Pod", Events: []helm.HookEvent{helm.HookTest}},
		},
		Info: &helm.Info{Notes: "Thank you <&>"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// ticker is a clock that moves a second each time it is read.
func ticker() func() time.Time {
	now := time.Date(2026, 2, 3, 4, 5, 6, 789_000_000, time.UTC)
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}
