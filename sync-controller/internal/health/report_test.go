package health_test

import (
	"testing"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-gitops/sluice/sync-controller/internal/health"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

func finding(name, reason string) health.Finding {
	return health.Finding{
		ID:     inventory.ID{Namespace: "ns", Name: name, GroupKind: schema.GroupKind{Group: "apps", Kind: "Deployment"}},
		Reason: reason,
	}
}

func TestWaiting(t *testing.T) {
	report := health.Report{
		Failed:     []health.Finding{finding("b", "ErrImagePull: no such image")},
		InProgress: []health.Finding{finding("a", ""), finding("c", "")},
	}
	want := []string{"Deployment/ns/b: ErrImagePull: no such image", "Deployment/ns/a"}
	if diff := cmp.Diff(want, report.Waiting(2)); diff != "" {
		t.Errorf("failures come first, and no more than the limit:\n%s", diff)
	}
}

func TestCompile(t *testing.T) {
	check := func(apiVersion, kind, current string) kustomize.CustomHealthCheck {
		return kustomize.CustomHealthCheck{
			APIVersion: apiVersion, Kind: kind,
			HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: current},
		}
	}
	for name, c := range map[string]struct {
		reason  string
		checks  []kustomize.CustomHealthCheck
		wantErr string
	}{
		"none":    {reason: "nothing to compile"},
		"valid":   {reason: "an ordinary check", checks: []kustomize.CustomHealthCheck{check("example.org/v1", "Widget", "status.ready")}},
		"syntax":  {reason: "the second is no CEL", checks: []kustomize.CustomHealthCheck{check("example.org/v1", "Widget", "true"), check("example.org/v1", "Gadget", "status.")}, wantErr: "healthCheckExprs[1]: "},
		"empty":   {reason: "current is required", checks: []kustomize.CustomHealthCheck{check("example.org/v1", "Widget", "")}, wantErr: "healthCheckExprs[0]: "},
		"version": {reason: "no such API version", checks: []kustomize.CustomHealthCheck{check("a/b/c", "Widget", "true")}, wantErr: "healthCheckExprs[0].apiVersion: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := health.Compile(c.checks)
			if c.wantErr == "" && err != nil || c.wantErr != "" && (err == nil || err.Error()[:min(len(err.Error()), len(c.wantErr))] != c.wantErr) {
				t.Errorf("%s: got error %v, want %q…", c.reason, err, c.wantErr)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	exprs, err := health.Compile([]kustomize.CustomHealthCheck{
		{APIVersion: "example.org/v1", Kind: "Widget", HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: "true"}},
		{APIVersion: "example.net/v1", HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: "true"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[schema.GroupKind]bool{
		{Group: "example.org", Kind: "Widget"}: true,
		{Group: "example.org", Kind: "Gadget"}: false,
		{Group: "example.net", Kind: "Any"}:    true,
		{Kind: "Pod"}:                          false,
	} {
		if got := exprs.Covers(kind); got != want {
			t.Errorf("%s is covered: %v", kind, got)
		}
	}
	if (*health.Expressions)(nil).Covers(schema.GroupKind{Kind: "Pod"}) {
		t.Error("no expressions cover nothing")
	}
}

func TestRelevant(t *testing.T) {
	for kind, want := range map[schema.GroupKind]bool{
		{Group: "apps", Kind: "Deployment"}:                               true,
		{Group: "batch", Kind: "Job"}:                                     true,
		{Group: "batch", Kind: "CronJob"}:                                 false,
		{Kind: "ConfigMap"}:                                               false,
		{Kind: "Secret"}:                                                  false,
		{Kind: "Service"}:                                                 true,
		{Group: "rbac.authorization.k8s.io", Kind: "Role"}:                false,
		{Group: "networking.k8s.io", Kind: "Ingress"}:                     false,
		{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: true,
		{Group: "gateway.networking.k8s.io", Kind: "Gateway"}:             true,
		{Group: "example.org", Kind: "Widget"}:                            true,
	} {
		if got := health.Relevant(kind); got != want {
			t.Errorf("%s: got %v, want %v", kind, got, want)
		}
	}
}
