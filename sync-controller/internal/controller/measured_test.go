package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
)

// series are all series of the process by name and labels, with what they count.
func (s *stack) series() map[string]float64 {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			all[strings.TrimPrefix(family.GetName(), "sluice_")+" "+strings.Join(labels, " ")] = value(m)
		}
	}
	return all
}

// value is what a series counts: of a histogram, how many it saw.
func value(m *dto.Metric) float64 {
	switch {
	case m.GetCounter() != nil:
		return m.GetCounter().GetValue()
	case m.GetHistogram() != nil:
		return float64(m.GetHistogram().GetSampleCount())
	}
	return m.GetGauge().GetValue()
}

// moved waits until all of the series differ from what they were; a series that was not there was 0.
func (s *stack) moved(what string, before map[string]float64, names ...string) {
	s.t.Helper()
	s.eventually(what+": what is measured", func() string {
		now := s.series()
		for _, name := range names {
			if now[name] == before[name] {
				return fmt.Sprintf("%s is %v still, of %v", name, now[name], slices.Sorted(maps.Keys(now)))
			}
		}
		return ""
	})
}

// TestEverySeriesMoves: real work moves each series that the README lists.
func TestEverySeriesMoves(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.Wait, ks.Spec.RetryInterval = true, &metav1.Duration{Duration: time.Second}
	})
	s.render(ks, first, s.configMap("one", "1"), s.configMap("two", "2"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.moved("install", nil, "apply_duration_seconds Kustomization success", "health_duration_seconds Kustomization success",
		"objects_changed_total created Kustomization", "watched_kinds ", "storage_bytes ",
		"objects Kustomization True", "object_ready Kustomization app "+s.namespace)

	before := s.series()
	s.render(ks, second, s.configMap("one", "changed"))
	s.ready(ks, "True", "ReconciliationSucceeded", second)
	s.moved("change and prune", before, "objects_changed_total configured Kustomization", "objects_changed_total deleted Kustomization",
		"prune_duration_seconds Kustomization success")

	before = s.series()
	s.edit(ks, func(ks *kustomizev1.Kustomization) {
		ks.Annotations = map[string]string{"reconcile.fluxcd.io/requestedAt": "1"}
	})
	s.render(ks, second, s.configMap("one", "changed"))
	s.moved("request", before, "apply_duration_seconds Kustomization unchanged")

	before = s.series()
	for range drift.FreeCorrections + 2 {
		s.eventually("the value is ours", func() string { return s.value("one", "changed") })
		s.tamper("one", "foreign")
	}
	s.moved("drift", before, "drift_total Kustomization corrected", "drift_total Kustomization postponed")

	before = s.series()
	bad := s.deployment("web")
	unstructured.RemoveNestedField(bad.Object, "spec", "selector")
	s.render(ks, third, s.configMap("one", "changed"), bad)
	s.ready(ks, "False", "ReconciliationFailed", "")
	s.moved("failure", before, "apply_duration_seconds Kustomization failure", "objects Kustomization False")

	before = s.series()
	hr := s.helmRelease("chart", func(hr *helmv2.HelmRelease) {
		hr.Spec.DriftDetection = &helmv2.DriftDetection{Mode: helmv2.DriftDetectionEnabled}
	})
	s.release(hr, nil, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.deployment("web"))
	s.released(hr, "Unknown", "Progressing", "health checks")
	s.hang("web")
	s.released(hr, "False", "InstallFailed", "web")
	s.moved("release", before, "apply_duration_seconds HelmRelease success", "objects_changed_total created HelmRelease",
		"health_duration_seconds HelmRelease failure", "objects HelmRelease False")
}
