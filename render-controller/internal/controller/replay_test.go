package controller_test

import (
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

func TestACommitCostsWhatItChanges(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	files := map[string]string{}
	for _, app := range []string{"a", "b", "c"} {
		files["apps/"+app+"/settings.yaml"] = strings.Replace(configMap, "settings", app, 1)
	}
	w.push("main@sha1:1111", files)
	subjects := map[string]*kustomizev1.Kustomization{}
	first := map[string]*v1alpha1.Render{}
	for _, app := range []string{"a", "b", "c"} {
		subjects[app] = w.kustomization(func(ks *kustomizev1.Kustomization) { ks.Name, ks.Spec.Path = app, "./apps/"+app })
		first[app] = w.render(subjects[app], kustomization, isReady)
	}

	before := builds(t)
	files["apps/b/settings.yaml"] = strings.Replace(files["apps/b/settings.yaml"], "blue", "red", 1)
	w.push("main@sha1:2222", files)
	for app, subject := range subjects {
		moved := w.render(subject, kustomization, at("main@sha1:2222"))
		if writes := moved.Generation - first[app].Generation; writes != 1 {
			t.Errorf("%s: %d writes for a revision, want 1", app, writes)
		}
		if same := *moved.Rendering == *first[app].Rendering; same != (app != "b") {
			t.Errorf("%s: the same content: %v", app, same)
		}
	}
	if built := builds(t) - before; built != 1 {
		t.Errorf("%v builds for a commit that changes one of three, want 1", built)
	}

	files["apps/b/settings.yaml"] = "a: [\n"
	w.push("main@sha1:3333", files)
	w.render(subjects["b"], kustomization, failedWith("BuildFailed", "apps/b/settings.yaml"))
	files["apps/b/settings.yaml"] = strings.Replace(configMap, "settings", "b", 1)
	w.push("main@sha1:4444", files)
	if again := w.render(subjects["b"], kustomization, at("main@sha1:4444")); again.Rendering.Tag != first["b"].Rendering.Tag {
		t.Errorf("after a mended commit the content is %s, want what it was first", again.Rendering.Tag)
	}
}

// builds is how many Kustomizations were built so far.
func builds(t *testing.T) float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	must(t, err)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "sluice_builds_total" && metric.GetLabel()[0].GetValue() == kustomization && metric.GetLabel()[1].GetValue() == "made" {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}
