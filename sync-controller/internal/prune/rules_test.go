package prune

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

func TestMayDelete(t *testing.T) {
	const kustomize, helm = "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"
	for name, c := range map[string]struct {
		reason      string
		group       string
		kind        string
		labels      map[string]string
		annotations map[string]string
		want        bool
	}{
		"owned":              {reason: "both labels name the owner", want: true},
		"prune disabled":     {reason: "the object asks to be kept", annotations: map[string]string{kustomize + "/prune": "Disabled"}},
		"label":              {reason: "a label asks as well as an annotation", labels: map[string]string{kustomize + "/prune": "disabled"}},
		"reconcile disabled": {reason: "the object is not ours to touch", annotations: map[string]string{kustomize + "/reconcile": "disabled"}},
		"ignored":            {reason: "the object is not ours to touch", annotations: map[string]string{kustomize + "/ssa": "Ignore"}},
		"merge":              {reason: "how it is applied does not keep it", annotations: map[string]string{kustomize + "/ssa": "Merge"}, want: true},
		"other owner":        {reason: "another subject has taken it over", labels: map[string]string{kustomize + "/name": "other"}},
		"other namespace":    {reason: "an owner of the same name elsewhere", labels: map[string]string{kustomize + "/namespace": "other"}},
		"helm policy":        {reason: "only a release's objects have Helm's policy", annotations: map[string]string{"helm.sh/resource-policy": "keep"}, want: true},
		"definition of templates/": {
			reason: "what a template rendered is deleted with the release", group: helm, kind: "CustomResourceDefinition",
			annotations: map[string]string{"meta.helm.sh/release-name": "app"}, want: true,
		},
		"definition of templates/ with Helm's policy": {
			reason: "unless it asks to be kept", group: helm, kind: "CustomResourceDefinition",
			annotations: map[string]string{"meta.helm.sh/release-name": "app", "helm.sh/resource-policy": "keep"},
		},
		"definition of crds/":        {reason: "Helm never deletes one", group: helm, kind: "CustomResourceDefinition"},
		"definition without release": {reason: "a Kustomization has nothing but what it applied", kind: "CustomResourceDefinition", want: true},
		"helm keep":                  {reason: "Helm's policy keeps it", group: helm, annotations: map[string]string{"helm.sh/resource-policy": "keep"}},
		"helm keep, loosely":         {reason: "Helm trims it", group: helm, annotations: map[string]string{"helm.sh/resource-policy": " Keep\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			owner := inventory.Owner{Group: kustomize, Namespace: "ns", Name: "apps"}
			if c.group != "" {
				owner.Group = c.group
			}
			live := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Labels: owner.Labels(), Annotations: c.annotations}}
			live.Kind = c.kind
			for key, value := range c.labels {
				live.Labels[key] = value
			}
			if got := mayDelete(live, owner); got != c.want {
				t.Errorf("%s: got %v", c.reason, got)
			}
		})
	}
}

func TestMayDeleteNeedsAnOwner(t *testing.T) {
	if mayDelete(&metav1.PartialObjectMetadata{}, inventory.Owner{Group: "g"}) {
		t.Error("an object without labels belongs to nobody, and not to an owner without a name")
	}
}
