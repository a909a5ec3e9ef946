package controller

import (
	"context"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// TestReleaseOfAnOCIRepository: the status tells the chart's version and the digest that it came from, as Flux's does; a release
// that was recorded with that digest is known again, and a tag that was moved is an upgrade.
func TestReleaseOfAnOCIRepository(t *testing.T) {
	t.Parallel()
	const first, second = "sha256:111111111111aaaa", "sha256:222222222222bbbb"
	s := newStack(t).start()
	hr := s.helmRelease("app", func(hr *helmv2.HelmRelease) {
		hr.Spec.Chart, hr.Spec.ChartRef = nil, &helmv2.CrossNamespaceSourceReference{Kind: "OCIRepository", Name: "charts"}
	})
	source := v1alpha1.Source{Kind: "OCIRepository", Namespace: s.namespace, Name: "charts", Revision: "1.0.0@" + first}
	s.releaseFrom(source, "1.0.0+111111111111", hr, nil, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.configMap("one", "1"))
	s.released(hr, "True", "InstallSucceeded", "app.v1 with chart app@1.0.0+111111111111")
	st := hr.Status
	if st.LastAttemptedRevision != "1.0.0+111111111111" || st.LastAttemptedRevisionDigest != first || st.HelmChart != "" ||
		len(st.History) != 1 || st.History[0].OCIDigest != first || st.History[0].ChartVersion != "1.0.0+111111111111" {
		t.Errorf("status: %+v, %+v", st, st.History.Latest())
	}

	s.stop()
	s.start()
	s.annotate(hr, map[string]string{meta.ReconcileRequestAnnotation: "again"})
	s.releaseFrom(source, "1.0.0+111111111111", hr, nil, v1alpha1.ReleaseParameters{Revision: 2}, s.configMap("one", "1"))
	s.answered(hr, "again")
	if latest := hr.Status.History.Latest(); latest.Version != 1 {
		t.Errorf("a release that is as it was is released again: %+v", latest)
	}

	source.Revision = "1.0.0@" + second
	s.releaseFrom(source, "1.0.0+222222222222", hr, nil, v1alpha1.ReleaseParameters{Revision: 2}, s.configMap("one", "2"))
	s.released(hr, "True", "UpgradeSucceeded", "app.v2 with chart app@1.0.0+222222222222")
	if latest := hr.Status.History.Latest(); latest.OCIDigest != second || hr.Status.History.Previous(false).OCIDigest != first {
		t.Errorf("history: %+v", hr.Status.History)
	}
}

// TestReleaseLeavesItsHelmChart: the chart that was made for spec.chart goes once the one that spec.chartRef names is in
// effect, and not before. What the release does not own stays.
func TestReleaseLeavesItsHelmChart(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	hr := s.helmRelease("app")
	made := s.helmChart(hr.GetHelmChartName(), map[string]string{
		"helm.toolkit.fluxcd.io/name": "app", "helm.toolkit.fluxcd.io/namespace": s.namespace,
	})
	s.helmChart("shared", nil)
	s.release(hr, map[string]any{"a": 1}, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.configMap("one", "1"))
	s.released(hr, "True", "InstallSucceeded", "app.v1")
	if want := s.namespace + "/" + made.Name; hr.Status.HelmChart != want {
		t.Errorf("status.helmChart is %q, want %q", hr.Status.HelmChart, want)
	}

	before := hr.DeepCopy()
	hr.Spec.Chart, hr.Spec.ChartRef = nil, &helmv2.CrossNamespaceSourceReference{Kind: "HelmChart", Name: "shared"}
	if err := s.client.Patch(t.Context(), hr, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	s.rest(time.Second) // nothing is rendered from it yet
	s.get(&sourcev1.HelmChart{}, made.Name)
	source := v1alpha1.Source{Kind: "HelmChart", Namespace: s.namespace, Name: "shared", Revision: "2.0.0"}
	s.releaseFrom(source, "2.0.0", hr, map[string]any{"a": 1}, v1alpha1.ReleaseParameters{Revision: 2}, s.configMap("one", "2"))
	s.released(hr, "True", "UpgradeSucceeded", "app.v2 with chart app@2.0.0")
	s.gone(&sourcev1.HelmChart{}, made.Name)
	if hr.Status.HelmChart != "" || hr.Status.LastAttemptedRevisionDigest != "" {
		t.Errorf("status: helmChart %q, digest %q", hr.Status.HelmChart, hr.Status.LastAttemptedRevisionDigest)
	}
	s.delete(&helmv2.HelmRelease{}, "app")
	s.gone(&helmv2.HelmRelease{}, "app")
	s.get(&sourcev1.HelmChart{}, "shared")
}

// helmChart creates one.
func (s *stack) helmChart(name string, labels map[string]string) *sourcev1.HelmChart {
	s.t.Helper()
	chart := &sourcev1.HelmChart{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name, Labels: labels},
		Spec: sourcev1.HelmChartSpec{
			Chart: "./charts/app", Interval: metav1.Duration{Duration: time.Hour},
			SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: "GitRepository", Name: "repo"},
		},
	}
	if err := s.client.Create(context.Background(), chart); err != nil {
		s.t.Fatal(err)
	}
	return chart
}
