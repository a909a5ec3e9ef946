package controller

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

const (
	first  = "main@sha1:1111111111111111111111111111111111111111"
	second = "main@sha1:2222222222222222222222222222222222222222"
	third  = "main@sha1:3333333333333333333333333333333333333333"
)

func TestApplyAndPrune(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"), s.configMap("two", "2"))
	s.ready(ks, "True", "ReconciliationSucceeded", "Applied revision: "+first)
	if ks.Status.LastAppliedRevision != first || ks.Status.ObservedGeneration != ks.Generation {
		t.Errorf("status: %+v", ks.Status)
	}
	if len(ks.Status.Inventory.Entries) != 2 || len(ks.Status.History) != 1 {
		t.Errorf("inventory %v, history %v", ks.Status.Inventory, ks.Status.History)
	}
	if ks.Finalizers[0] != finalizer {
		t.Errorf("finalizers: %v", ks.Finalizers)
	}
	s.get(&corev1.ConfigMap{}, "one")

	s.render(ks, second, s.configMap("two", "changed"))
	s.ready(ks, "True", "ReconciliationSucceeded", "Applied revision: "+second)
	s.gone(&corev1.ConfigMap{}, "one")
	two := &corev1.ConfigMap{}
	s.get(two, "two")
	if two.Data["key"] != "changed" {
		t.Errorf("two: %v", two.Data)
	}
	record := &v1alpha1.Sync{}
	s.eventually("last change", func() string {
		s.get(record, "kustomization-app")
		if c := record.LastChange; c == nil || c.Deleted != 1 || c.Configured != 1 || c.Revision != second {
			return fmt.Sprintf("%+v", record.LastChange)
		}
		return ""
	})
}
