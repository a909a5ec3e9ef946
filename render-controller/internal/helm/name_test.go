package helm

import (
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

func helmRelease(spec helmv2.HelmReleaseSpec) *helmv2.HelmRelease {
	return &helmv2.HelmRelease{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "team"}, Spec: spec}
}

func TestReleaseName(t *testing.T) {
	long := "a-very-long-target-namespace-for-a-release-a-very-long-release-name"
	tests := map[string]struct {
		reason string
		spec   helmv2.HelmReleaseSpec
		want   string
	}{
		"plain":  {"the object's name", helmv2.HelmReleaseSpec{}, "web"},
		"target": {"with the target namespace", helmv2.HelmReleaseSpec{TargetNamespace: "apps"}, "apps-web"},
		"given":  {"as given", helmv2.HelmReleaseSpec{TargetNamespace: "apps", ReleaseName: "shop"}, "shop"},
		"fits":   {"53 characters fit", helmv2.HelmReleaseSpec{ReleaseName: long[:53]}, long[:53]},
		"long":   {"shortened to what Flux makes of it", helmv2.HelmReleaseSpec{ReleaseName: long}, "a-very-long-target-namespace-for-a-relea-4014b7b2cd35"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ReleaseName(helmRelease(tt.spec)); got != tt.want {
				t.Errorf("%s: got %q, want %q", tt.reason, got, tt.want)
			}
		})
	}
}

func TestValues(t *testing.T) {
	got, err := Values(helmRelease(helmv2.HelmReleaseSpec{Values: &apiextensionsv1.JSON{Raw: []byte(`{"a":{"b":1}}`)}}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Tree{"a": map[string]any{"b": float64(1)}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := Values(helmRelease(helmv2.HelmReleaseSpec{})); got != nil || err != nil {
		t.Errorf("got %v, %v; want no values", got, err)
	}
	_, err = Values(helmRelease(helmv2.HelmReleaseSpec{Values: &apiextensionsv1.JSON{Raw: []byte(`[1]`)}}))
	if err == nil || !strings.Contains(err.Error(), "spec.values") {
		t.Errorf("got %v, want to be told that spec.values is no object", err)
	}
}

func TestSpecPerParameters(t *testing.T) {
	install, upgrade := v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, v1alpha1.ReleaseParameters{Revision: 2}
	spec := helmv2.HelmReleaseSpec{
		Install:   &helmv2.Install{CRDs: helmv2.CreateReplace, DisableSchemaValidation: true, DisableHooks: true},
		Upgrade:   &helmv2.Upgrade{CRDs: helmv2.Skip},
		Uninstall: &helmv2.Uninstall{DisableHooks: true},
	}
	tests := map[string]struct{ got, want any }{
		"policy of install":   {CRDPolicy(helmRelease(spec), install), CRDsCreateReplace},
		"policy of upgrade":   {CRDPolicy(helmRelease(spec), upgrade), CRDsSkip},
		"policy by default":   {CRDPolicy(helmRelease(helmv2.HelmReleaseSpec{}), upgrade), CRDsCreate},
		"policy of skipCRDs":  {CRDPolicy(helmRelease(helmv2.HelmReleaseSpec{Install: &helmv2.Install{SkipCRDs: true}}), install), CRDsSkip},
		"schema at install":   {SkipSchema(helmRelease(spec), install), true},
		"schema at upgrade":   {SkipSchema(helmRelease(spec), upgrade), false},
		"hooks":               {IgnoredHooks(helmRelease(spec)), []string{"pre-install", "post-install", "pre-delete", "post-delete"}},
		"hooks of an upgrade": {IgnoredHooks(helmRelease(helmv2.HelmReleaseSpec{Upgrade: &helmv2.Upgrade{DisableHooks: true}})), []string{"pre-upgrade", "post-upgrade"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
