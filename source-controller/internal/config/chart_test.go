package config_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/sluice-gitops/sluice/source-controller/internal/config"
)

// TestChartStartsWithTheseFlags: what the chart makes of its values about logins to clouds is taken here, and the right to
// create tokens is there exactly when objects may name a ServiceAccount.
func TestChartStartsWithTheseFlags(t *testing.T) {
	for name, tc := range map[string]struct {
		values  map[string]any
		refused string
		level   bool
		account string
		scope   string // of the role that may create tokens; empty: none may
	}{
		"defaults": {values: map[string]any{}},
		"object level": {
			values: map[string]any{"source": map[string]any{"objectLevelIdentity": true}},
			level:  true, scope: "ClusterRole/sluice-source-controller",
		},
		"lockdown of tenants": {
			values: map[string]any{
				"source":  map[string]any{"objectLevelIdentity": true, "defaultServiceAccount": "tenant"},
				"tenancy": map[string]any{"namespaces": []any{"team"}},
			},
			level: true, account: "tenant", scope: "Role/sluice-source-controller-config",
		},
		"lockdown without the gate": {
			values:  map[string]any{"source": map[string]any{"defaultServiceAccount": "tenant"}},
			refused: "source.objectLevelIdentity",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files, err := render(tc.values)
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("got %v, want %q", err, tc.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var deployment appsv1.Deployment
			if err := yaml.Unmarshal([]byte(files["sluice/templates/source/deployment.yaml"]), &deployment); err != nil {
				t.Fatal(err)
			}
			c, err := config.Parse(deployment.Spec.Template.Spec.Containers[0].Args, env(nil))
			if err != nil || c.Identity.ObjectLevel != tc.level || c.Identity.DefaultServiceAccount != tc.account {
				t.Errorf("%+v, %v", c.Identity, err)
			}
			if got := mayCreateTokens(t, files["sluice/templates/source/rbac.yaml"]); got != tc.scope {
				t.Errorf("tokens may be created by %q, want %q", got, tc.scope)
			}
		})
	}
}

func render(values map[string]any) (map[string]string, error) {
	chart, err := loader.Load(filepath.Join("..", "..", "..", "charts", "sluice"))
	if err != nil {
		return nil, err
	}
	all, err := chartutil.ToRenderValues(chart, values, chartutil.ReleaseOptions{Name: "sluice", Namespace: "flux-system"}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, all)
}

// mayCreateTokens is the kind and the name of the last role with that right.
func mayCreateTokens(t *testing.T, manifests string) (found string) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(manifests)), 4096)
	for {
		var role rbacv1.Role
		err := decoder.Decode(&role)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			if slices.Contains(rule.Resources, "serviceaccounts/token") && slices.Contains(rule.Verbs, "create") {
				found = role.Kind + "/" + role.Name
			}
		}
	}
}
