package controller

import (
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// TestWhatCannotBeHealedKeepsNothingElse: of objects that drifted at once, one that cannot be corrected does not keep the
// others from being corrected.
func TestWhatCannotBeHealedKeepsNothingElse(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	lost := &corev1.Namespace{}
	lost.GenerateName = "heal-"
	if err := s.client.Create(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	inside := s.configMap("two", "2")
	inside.SetNamespace(lost.Name)
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"), inside)
	s.ready(ks, "True", "ReconciliationSucceeded", first)

	// Nobody looks while one is changed, and the other goes with its namespace: without a controller for it that stays for
	// ever, being deleted.
	s.stop()
	if err := s.client.Delete(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	gone := inside.DeepCopy()
	if err := s.client.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	s.tamper("one", "foreign")
	bad := s.deployment("web")
	unstructured.RemoveNestedField(bad.Object, "spec", "selector")
	s.render(ks, second, s.configMap("one", "1"), inside, bad) // so that only what is held can heal
	s.start()
	s.eventually("the other is corrected", func() string { return s.value("one", "1") })
}

// TestObjectsThatAreNotCorrected: an object of a release may ask not to be.
func TestObjectsThatAreNotCorrected(t *testing.T) {
	t.Parallel()
	install, upgrade := v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, v1alpha1.ReleaseParameters{Revision: 2}
	s := newStack(t).start()
	hr := s.helmRelease("app", noWait, func(hr *helmv2.HelmRelease) {
		hr.Spec.DriftDetection = &helmv2.DriftDetection{Mode: helmv2.DriftDetectionEnabled}
	})
	left := func(value string) *unstructured.Unstructured {
		o := s.configMap("left", value)
		o.SetAnnotations(map[string]string{helmv2.DriftDetectionMetadataKey: helmv2.DriftDetectionDisabledValue})
		return o
	}
	s.release(hr, map[string]any{"a": 1}, install, s.configMap("one", "1"), left("1"))
	s.released(hr, "True", "InstallSucceeded", "app.v1")
	s.tamper("left", "foreign")
	s.tamper("one", "foreign")
	s.eventually("the other is corrected", func() string { return s.value("one", "1") })
	s.tamper("one", "foreign again") // by the next correction the first has been done with all that it knew
	s.eventually("the other is corrected again", func() string { return s.value("one", "1") })
	if complaint := s.value("left", "foreign"); complaint != "" {
		t.Errorf("what asks to be left alone: %s", complaint)
	}
	s.release(hr, map[string]any{"a": 2}, upgrade, s.configMap("one", "2"), left("2"))
	s.released(hr, "True", "UpgradeSucceeded", "app.v2")
	if complaint := s.value("left", "2"); complaint != "" {
		t.Errorf("an upgrade applies everything: %s", complaint)
	}
}
