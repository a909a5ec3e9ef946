package controller_test

import (
	"fmt"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	dto "github.com/prometheus/client_model/go"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// gathered is what a scrape says: the value of each series, by its name and its labels' values, counts for histograms.
func gathered(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	must(t, err)
	all := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			all[name] = valueOf(metric)
		}
	}
	return all
}

func valueOf(metric *dto.Metric) float64 {
	switch {
	case metric.GetCounter() != nil:
		return metric.GetCounter().GetValue()
	case metric.GetHistogram() != nil:
		return float64(metric.GetHistogram().GetSampleCount())
	default:
		return metric.GetGauge().GetValue()
	}
}

// TestEverySeriesMoves: real work moves each series of the README's table.
func TestEverySeriesMoves(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	before := gathered(t)
	files := map[string]string{"a/a.yaml": configMap, "b/b.yaml": configMap}
	w.push("main@sha1:1111", files)
	ks := w.kustomization(func(ks *kustomizev1.Kustomization) { ks.Spec.Path = "./a" })
	rendered := w.render(ks, kustomization, isReady)
	if now := gathered(t); now["sluice_workers busy"]+now["sluice_workers idle"] == 0 {
		t.Error("no worker is seen, busy or idle")
	}
	files["b/b.yaml"] = strings.Replace(configMap, "blue", "red", 1)
	w.push("main@sha1:2222", files)
	w.render(ks, kustomization, at("main@sha1:2222"))
	files["a/a.yaml"] = "a: ["
	w.push("main@sha1:3333", files)
	w.render(ks, kustomization, failedWith("BuildFailed", "a.yaml"))
	files[poison+"/a.yaml"] = configMap
	w.push("main@sha1:4444", files)
	broken := w.kustomization(func(ks *kustomizev1.Kustomization) { ks.Name, ks.Spec.Path = "broken", "./"+poison })
	w.render(broken, kustomization, failedWith("BuildFailed", "ended unexpectedly"))

	least := map[string]float64{
		"sluice_builds_total Kustomization made":              1,
		"sluice_builds_total Kustomization kept":              1,
		"sluice_builds_total Kustomization failed":            2,
		"sluice_build_duration_seconds Kustomization success": 1,
		"sluice_build_duration_seconds Kustomization failure": 2,
		"sluice_worker_restarts_total crash":                  1,
		"sluice_worker_restarts_total retired":                1,
		"sluice_tree_cache_entries":                           1,
		"sluice_tree_cache_bytes":                             1,
		"sluice_objects Render False":                         1,
	}
	eventually(t, func() (bool, string) { // readiness is read from a cache
		after := gathered(t)
		for series, wanted := range least {
			if moved := after[series] - before[series]; moved < wanted {
				return false, fmt.Sprintf("%s moved by %v, want %v at least", series, moved, wanted)
			}
		}
		if stored := after["sluice_storage_bytes"]; stored < float64(rendered.Rendering.Size) { // others' files may go at the same time
			return false, fmt.Sprintf("sluice_storage_bytes is %v, want the %d of this rendering at least", stored, rendered.Rendering.Size)
		}
		series := "sluice_object_ready Render kustomization-broken " + w.namespace
		_, there := after[series]
		return there, "no " + series
	})
}
