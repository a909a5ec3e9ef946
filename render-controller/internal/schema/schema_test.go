package schema

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  names: {kind: Thing}
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              text: {type: string}
              count: {type: integer}
              ratio: {type: number}
              enabled: {type: boolean}
              port: {x-kubernetes-int-or-string: true, type: string}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
              names: {type: object, additionalProperties: {type: string}}
              list: {type: array, items: {type: object, properties: {value: {type: string}}}}
`

// at follows a path; [] is an item of a list.
func at(field Field, path string) Field {
	for step := range strings.SplitSeq(path, " ") {
		if step == "[]" {
			field = field.Item()
			continue
		}
		field = field.Child(step)
	}
	return field
}

func TestTypes(t *testing.T) {
	var set Set
	var crd map[string]any
	if err := yaml.Unmarshal([]byte(definition), &crd); err != nil {
		t.Fatal(err)
	}
	set.Add(crd)
	set.Add(map[string]any{"apiVersion": "v1", "kind": "ConfigMap"})
	for _, tt := range []struct {
		kind, path string
		want       Type
	}{
		{"v1 ConfigMap", "data x", String},
		{"v1 ConfigMap", "binaryData x", String},
		{"v1 ConfigMap", "immutable", Boolean},
		{"v1 ConfigMap", "metadata labels x", String},
		{"v1 ConfigMap", "metadata annotations x", String},
		{"v1 ConfigMap", "metadata ownerReferences [] uid", String},
		{"v1 ConfigMap", "metadata", Unknown},
		{"v1 ConfigMap", "none x", Unknown},
		{"v1 Secret", "stringData x", String},
		{"v1 Secret", "data x", String},
		{"v1 Secret", "type", String},
		{"apps/v1 Deployment", "spec replicas", Integer},
		{"apps/v1 Deployment", "spec paused", Boolean},
		{"apps/v1 Deployment", "spec template spec containers [] env [] value", String},
		{"apps/v1 Deployment", "spec template spec containers [] args []", String},
		{"apps/v1 Deployment", "spec template spec containers [] command []", String},
		{"apps/v1 Deployment", "spec template spec containers [] livenessProbe httpGet port", Unknown},
		{"apps/v1 Deployment", "spec template spec containers [] resources limits cpu", Unknown},
		{"apps/v1 Deployment", "spec template metadata labels x", String},
		{"apps/v1 Deployment", "spec template spec volumes [] configMap name", String},
		{"apps/v1 Deployment", "spec template spec volumes [] configMap defaultMode", Integer},
		{"autoscaling/v2 HorizontalPodAutoscaler", "spec metrics [] resource target averageUtilization", Integer},
		{"coordination.k8s.io/v1 Lease", "spec renewTime", String},
		{"apiextensions.k8s.io/v1 CustomResourceDefinition", "spec versions [] served", Boolean},
		{"apiextensions.k8s.io/v1 CustomResourceDefinition", "spec versions [] schema openAPIV3Schema default", Unknown},
		{"kustomize.toolkit.fluxcd.io/v1 Kustomization", "spec postBuild substitute x", String},
		{"helm.toolkit.fluxcd.io/v2 HelmRelease", "spec values x", Unknown},
		{"helm.toolkit.fluxcd.io/v2 HelmRelease", "spec interval", String},
		{"example.com/v1 Thing", "kind", String},
		{"example.com/v1 Thing", "metadata labels x", String},
		{"example.com/v1 Thing", "spec text", String},
		{"example.com/v1 Thing", "spec count", Integer},
		{"example.com/v1 Thing", "spec ratio", Number},
		{"example.com/v1 Thing", "spec enabled", Boolean},
		{"example.com/v1 Thing", "spec port", Unknown},
		{"example.com/v1 Thing", "spec free x", Unknown},
		{"example.com/v1 Thing", "spec names x", String},
		{"example.com/v1 Thing", "spec list [] value", String},
		{"example.com/v2 Thing", "spec text", Unknown},
		{"example.com/v2 Thing", "metadata name", String},
	} {
		apiVersion, kind, _ := strings.Cut(tt.kind, " ")
		if got := at(set.Of(apiVersion, kind), tt.path).Type(); got != tt.want {
			t.Errorf("%s, %s: type %d, want %d", tt.kind, tt.path, got, tt.want)
		}
	}
	for path, want := range map[string]bool{"spec names": true, "spec": false, "metadata labels": true, "metadata": false} {
		if got := at(set.Of("example.com/v1", "Thing"), path).Map(); got != want {
			t.Errorf("%s is a map: %t, want %t", path, got, want)
		}
	}
}
