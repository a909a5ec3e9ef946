package subject

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// served are the fields that Sluice acts on, or that need no acting on: see the comment of each group.
var served = []string{
	// acted on by render-controller and source-controller through the HelmChart
	"spec.chart.metadata", "spec.chart.spec.chart", "spec.chart.spec.version", "spec.chart.spec.interval",
	"spec.chart.spec.reconcileStrategy", "spec.chart.spec.valuesFiles", "spec.chart.spec.ignoreMissingValuesFiles",
	"spec.chart.spec.sourceRef.kind", "spec.chart.spec.sourceRef.name", "spec.chart.spec.sourceRef.namespace",
	"spec.chart.spec.verify", "spec.chartRef.kind", "spec.chartRef.name", "spec.chartRef.namespace", "spec.values",
	"spec.install.crds", "spec.install.skipCRDs", "spec.upgrade.crds",
	"spec.install.disableSchemaValidation", "spec.upgrade.disableSchemaValidation",
	"spec.install.disableHooks", "spec.upgrade.disableHooks", "spec.uninstall.disableHooks",
	// acted on by sync-controller
	"spec.interval", "spec.suspend", "spec.releaseName", "spec.targetNamespace", "spec.storageNamespace",
	"spec.dependsOn.name", "spec.dependsOn.namespace", "spec.timeout", "spec.maxHistory", "spec.serviceAccountName",
	"spec.install.timeout", "spec.upgrade.timeout", "spec.uninstall.timeout",
	"spec.install.disableWait", "spec.upgrade.disableWait", "spec.uninstall.disableWait",
	"spec.install.createNamespace", "spec.install.replace", "spec.upgrade.chartNameChangeStrategy",
	"spec.uninstall.keepHistory",
	// without meaning here: the client is Sluice's own, validation is the API server's, and server-side apply never replaces
	"spec.persistentClient", "spec.install.disableOpenAPIValidation", "spec.upgrade.disableOpenAPIValidation", "spec.upgrade.force",
	"spec.chart.spec.sourceRef.apiVersion", "spec.chartRef.apiVersion",
	// only read together with a field that is refused
	"spec.rollback", "spec.test.timeout", "spec.test.ignoreFailures", "spec.test.filters", "spec.postRenderStrategy",
	"spec.install.strategy.retryInterval", "spec.upgrade.strategy.retryInterval",
	"spec.install.remediation.ignoreTestFailures", "spec.upgrade.remediation.ignoreTestFailures", "spec.upgrade.remediation.strategy",
}

// A field that Flux adds has to be served or refused: it must not be ignored.
func TestEveryFieldIsServedOrRefused(t *testing.T) {
	known := slices.Clone(served)
	for _, rule := range rules() {
		known = append(known, rule.field)
	}
	fields := leaves(reflect.TypeFor[helmv2.HelmReleaseSpec](), "spec")
	for _, field := range fields {
		if !slices.ContainsFunc(known, func(k string) bool { return field == k || strings.HasPrefix(field, k+".") }) {
			t.Errorf("%s is neither served nor refused: add it to rules() or to served", field)
		}
	}
	for _, k := range known {
		if !slices.ContainsFunc(fields, func(field string) bool { return field == k || strings.HasPrefix(field, k+".") }) {
			t.Errorf("%s is no field of HelmReleaseSpec", k)
		}
	}
}

// leaves lists the JSON paths of a struct's fields, going into structs that have fields of their own.
func leaves(typ reflect.Type, path string) []string {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || strings.HasPrefix(typ.PkgPath(), "k8s.io/") {
		return []string{path}
	}
	var list []string
	for field := range typ.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			list = append(list, leaves(field.Type, path)...)
			continue
		}
		list = append(list, leaves(field.Type, path+"."+name)...)
	}
	return list
}

func TestUnsupported(t *testing.T) {
	yes, no := true, false
	fromGit := func(s *helmv2.HelmReleaseSpec) {
		s.Chart = &helmv2.HelmChartTemplate{Spec: helmv2.HelmChartTemplateSpec{
			Chart: "./web", SourceRef: helmv2.CrossNamespaceObjectReference{Kind: "GitRepository", Name: "apps"},
		}}
	}
	tests := map[string]struct {
		change func(*helmv2.HelmReleaseSpec)
		want   []string
	}{
		"plain":      {fromGit, nil},
		"no chart":   {func(*helmv2.HelmReleaseSpec) {}, nil},
		"repository": {func(s *helmv2.HelmReleaseSpec) { fromGit(s); s.Chart.Spec.SourceRef.Kind = "HelmRepository" }, nil},
		"chartRef": {func(s *helmv2.HelmReleaseSpec) {
			s.ChartRef = &helmv2.CrossNamespaceSourceReference{Kind: "OCIRepository"}
		}, nil},
		"verify": {func(s *helmv2.HelmReleaseSpec) {
			fromGit(s)
			s.Chart.Spec.Verify = &helmv2.HelmChartTemplateVerification{}
		}, nil},
		"kubeConfig":      {func(s *helmv2.HelmReleaseSpec) { s.KubeConfig = &meta.KubeConfigReference{} }, []string{"spec.kubeConfig"}},
		"valuesFrom":      {func(s *helmv2.HelmReleaseSpec) { s.ValuesFrom = []helmv2.ValuesReference{{}} }, []string{"spec.valuesFrom"}},
		"values":          {func(s *helmv2.HelmReleaseSpec) { s.Values = &apiextensionsv1.JSON{Raw: []byte("{}")} }, nil},
		"common metadata": {func(s *helmv2.HelmReleaseSpec) { s.CommonMetadata = &helmv2.CommonMetadata{} }, []string{"spec.commonMetadata"}},
		"post renderers":  {func(s *helmv2.HelmReleaseSpec) { s.PostRenderers = []helmv2.PostRenderer{{}} }, []string{"spec.postRenderers"}},
		"ready expr":      {func(s *helmv2.HelmReleaseSpec) { s.DependsOn = []helmv2.DependencyReference{{}, {ReadyExpr: "true"}} }, []string{"spec.dependsOn.readyExpr"}},
		"health exprs":    {func(s *helmv2.HelmReleaseSpec) { s.HealthCheckExprs = []kustomize.CustomHealthCheck{{}} }, []string{"spec.healthCheckExprs"}},
		"test":            {func(s *helmv2.HelmReleaseSpec) { s.Test = &helmv2.Test{Enable: true} }, []string{"spec.test.enable"}},
		"test off":        {func(s *helmv2.HelmReleaseSpec) { s.Test = &helmv2.Test{IgnoreFailures: true} }, nil},
		"wait legacy":     {func(s *helmv2.HelmReleaseSpec) { s.WaitStrategy = &helmv2.WaitStrategy{Name: "legacy"} }, []string{"spec.waitStrategy.name=legacy"}},
		"wait poller":     {func(s *helmv2.HelmReleaseSpec) { s.WaitStrategy = &helmv2.WaitStrategy{Name: "poller"} }, nil},
		"drift warn":      {func(s *helmv2.HelmReleaseSpec) { s.DriftDetection = &helmv2.DriftDetection{Mode: "warn"} }, []string{"spec.driftDetection.mode=warn"}},
		"drift on":        {func(s *helmv2.HelmReleaseSpec) { s.DriftDetection = &helmv2.DriftDetection{Mode: "enabled"} }, nil},
		"drift default":   {func(s *helmv2.HelmReleaseSpec) { s.DriftDetection = &helmv2.DriftDetection{} }, nil},
		"drift ignore": {func(s *helmv2.HelmReleaseSpec) {
			s.DriftDetection = &helmv2.DriftDetection{Ignore: []helmv2.IgnoreRule{{}}}
		}, []string{"spec.driftDetection.ignore"}},
		"install": {
			func(s *helmv2.HelmReleaseSpec) {
				s.Install = &helmv2.Install{
					Strategy: &helmv2.InstallStrategy{Name: "RetryOnFailure"}, DisableTakeOwnership: true, DisableWaitForJobs: true,
					Remediation: &helmv2.InstallRemediation{Retries: 3, RemediateLastFailure: &yes}, ServerSideApply: &no,
				}
			},
			[]string{
				"spec.install.disableTakeOwnership", "spec.install.disableWaitForJobs", "spec.install.remediation.remediateLastFailure",
				"spec.install.remediation.retries=3", "spec.install.serverSideApply=false", "spec.install.strategy.name=RetryOnFailure",
			},
		},
		"install served": {
			func(s *helmv2.HelmReleaseSpec) {
				s.Install = &helmv2.Install{
					Strategy: &helmv2.InstallStrategy{Name: "RemediateOnFailure"}, Remediation: &helmv2.InstallRemediation{RemediateLastFailure: &no},
					ServerSideApply: &yes, CreateNamespace: true, Replace: true, CRDs: helmv2.CreateReplace,
				}
			}, nil,
		},
		"upgrade": {
			func(s *helmv2.HelmReleaseSpec) {
				s.Upgrade = &helmv2.Upgrade{
					Strategy: &helmv2.UpgradeStrategy{Name: "RetryOnFailure"}, DisableTakeOwnership: true, DisableWaitForJobs: true,
					Remediation:    &helmv2.UpgradeRemediation{Retries: -1, RemediateLastFailure: &yes},
					PreserveValues: true, CleanupOnFail: true, ServerSideApply: "disabled",
				}
			},
			[]string{
				"spec.upgrade.cleanupOnFail", "spec.upgrade.disableTakeOwnership", "spec.upgrade.disableWaitForJobs",
				"spec.upgrade.preserveValues", "spec.upgrade.remediation.remediateLastFailure", "spec.upgrade.remediation.retries=-1",
				"spec.upgrade.serverSideApply=disabled", "spec.upgrade.strategy.name=RetryOnFailure",
			},
		},
		"uninstall": {func(s *helmv2.HelmReleaseSpec) {
			orphan := "orphan"
			s.Uninstall = &helmv2.Uninstall{DeletionPropagation: &orphan}
		}, []string{"spec.uninstall.deletionPropagation=orphan"}},
		"uninstall served": {func(s *helmv2.HelmReleaseSpec) {
			background := "background"
			s.Uninstall = &helmv2.Uninstall{DeletionPropagation: &background, KeepHistory: true}
		}, nil},
		"uninstall default": {func(s *helmv2.HelmReleaseSpec) { s.Uninstall = &helmv2.Uninstall{} }, nil},
		"upgrade served": {func(s *helmv2.HelmReleaseSpec) {
			s.Upgrade = &helmv2.Upgrade{ServerSideApply: "auto", Force: true, Remediation: &helmv2.UpgradeRemediation{}}
		}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			hr := &helmv2.HelmRelease{}
			tt.change(&hr.Spec)
			if diff := cmp.Diff(tt.want, unsupported(hr)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
