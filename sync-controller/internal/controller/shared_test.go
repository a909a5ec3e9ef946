package controller

import (
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
)

// TestSharedObject: an object that two subjects have is its last holder's again, content and labels, as soon as the other
// lets it go: by a file that leaves, or by being deleted.
func TestSharedObject(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	a, b, c := s.kustomization("a"), s.kustomization("b"), s.kustomization("c")
	s.render(a, first, s.configMap("left", "a"), s.configMap("deleted", "a"))
	s.ready(a, "True", "ReconciliationSucceeded", first)
	s.render(b, first, s.configMap("left", "b"))
	s.ready(b, "True", "ReconciliationSucceeded", first)
	s.render(c, first, s.configMap("deleted", "c"))
	s.ready(c, "True", "ReconciliationSucceeded", first)

	s.render(a, second, s.configMap("left", "a"), s.configMap("deleted", "a"))
	s.render(c, second, s.configMap("deleted", "c"))
	s.render(b, second, s.configMap("b", "b"))
	s.ready(b, "True", "ReconciliationSucceeded", second)
	s.eventually("a's content is back", func() string { return s.held("left", "a") })

	s.delete(&kustomizev1.Kustomization{}, "c")
	s.gone(&kustomizev1.Kustomization{}, "c")
	s.eventually("a's content is back", func() string { return s.held("deleted", "a") })
}

// held complains if a ConfigMap is not as a Kustomization has it.
func (s *stack) held(name, by string) string {
	cm := &corev1.ConfigMap{}
	if err := s.client.Get(s.t.Context(), s.name(name), cm); err != nil {
		return err.Error()
	}
	if owner := cm.Labels["kustomize.toolkit.fluxcd.io/name"]; owner != by {
		return "it is " + owner + "'s"
	}
	return s.value(name, by)
}
