package controller

import (
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// TestReleaseWithoutInventory: a release that was made by somebody who keeps no inventory, as Flux before 2.8, is upgraded
// and deleted whole all the same.
func TestReleaseWithoutInventory(t *testing.T) {
	t.Parallel()
	install, upgrade := v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, v1alpha1.ReleaseParameters{Revision: 2}
	s := newStack(t).start()
	hr := s.helmRelease("app", noWait)
	s.release(hr, map[string]any{"a": 1}, install, s.configMap("one", "1"), s.configMap("two", "1"))
	s.released(hr, "True", "InstallSucceeded", "app.v1")
	s.loseInventory(hr)

	s.release(hr, map[string]any{"a": 2}, upgrade, s.configMap("one", "2"))
	s.released(hr, "True", "UpgradeSucceeded", "app.v2")
	s.gone(&corev1.ConfigMap{}, "two")
	s.loseInventory(hr)

	s.delete(&helmv2.HelmRelease{}, "app")
	s.gone(&helmv2.HelmRelease{}, "app")
	s.gone(&corev1.ConfigMap{}, "one")
	s.gone(&corev1.Secret{}, "sh.helm.release.v1.app.v2")
}

// loseInventory takes a release's inventory away while nobody looks.
func (s *stack) loseInventory(hr *helmv2.HelmRelease) {
	s.t.Helper()
	s.stop()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"status":{"inventory":null}}`))
	if err := s.client.Status().Patch(s.t.Context(), hr, patch); err != nil {
		s.t.Fatal(err)
	}
	s.start()
}
