package health

import (
	"slices"
	"testing"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// TestHealthRefs is about which objects decide.
func TestHealthRefs(t *testing.T) {
	object := func(apiVersion, kind, namespace, name string, annotations map[string]string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{}
		o.SetAPIVersion(apiVersion)
		o.SetKind(kind)
		o.SetNamespace(namespace)
		o.SetName(name)
		o.SetAnnotations(annotations)
		return o
	}
	content := rendering.Content{}
	for _, o := range []*unstructured.Unstructured{
		object("apps/v1", "Deployment", "apps", "web", nil),
		object("apps/v1", "Deployment", "apps", "left", map[string]string{"kustomize.toolkit.fluxcd.io/ssa": "ignore"}),
		object("apps/v1", "Deployment", "apps", "off", map[string]string{"kustomize.toolkit.fluxcd.io/reconcile": "Disabled"}),
		object("networking.k8s.io/v1", "Ingress", "apps", "web", nil),
		object("example.org/v1", "Cluster", "", "all", nil),
		object("v1", "ConfigMap", "apps", "settings", nil),
	} {
		content.Objects = append(content.Objects, rendering.Object{Object: o})
	}
	ingress := kustomize.CustomHealthCheck{
		APIVersion: "networking.k8s.io/v1beta1", Kind: "Ingress",
		HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: "has(status.loadBalancer)"},
	}
	for name, tc := range map[string]struct {
		reason string
		checks subject.HealthChecks
		want   []string
	}{
		"all": {
			"what runs or has conditions, but nothing that asks not to be applied",
			subject.HealthChecks{All: true}, []string{"Deployment/apps/web", "Cluster/all"},
		},
		"all, with an expression": {
			"an expression makes a kind matter that has no health of its own",
			subject.HealthChecks{All: true, Exprs: []kustomize.CustomHealthCheck{ingress}},
			[]string{"Deployment/apps/web", "Ingress/apps/web", "Cluster/all"},
		},
		"named": {
			"the named ones alone; without a namespace an object may have none",
			subject.HealthChecks{Named: []meta.NamespacedObjectKindReference{
				{Kind: "Deployment", Name: "other"}, {APIVersion: "example.org/v1", Kind: "Cluster", Name: "all"},
			}},
			[]string{"Deployment/apps/other", "Cluster/all"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			exprs, err := Compile(tc.checks.Exprs)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, ref := range Refs(tc.checks, exprs, content, inventory.ID{Namespace: "apps", Name: "app"}) {
				got = append(got, inventory.Describe(ref.ID))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%s: %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}
