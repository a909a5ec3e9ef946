package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
)

func TestDriftIsCorrected(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"), s.configMap("two", "2"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	record := &v1alpha1.Sync{}
	s.eventually("Sync", func() string { return complain(s.client.Get(t.Context(), s.name("kustomization-app"), record)) })

	// Nothing upstream is left: the kept content heals.
	s.server.Close()
	s.delete(&v1alpha1.Render{}, "kustomization-app")

	s.tamper("one", "foreign")
	s.eventually("the change is corrected", func() string { return s.value("one", "1") })
	s.eventually("the correction is told", func() string {
		s.get(record, "kustomization-app")
		if d := record.Drift; d == nil || d.Corrections != 1 || d.Manager != "kubectl-edit" || !strings.HasSuffix(d.Object, "/one") {
			return fmt.Sprintf("%+v", record.Drift)
		}
		return ""
	})
	s.delete(&corev1.ConfigMap{}, "two")
	s.eventually("the deletion is corrected", func() string { return s.value("two", "2") })
	s.eventually("an Event names the culprit", func() string { return s.event("DriftCorrected", "one was changed by kubectl-edit") })
}

func TestFightSlowsDown(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	for range drift.FreeCorrections + 2 {
		s.eventually("the value is ours", func() string { return s.value("one", "1") })
		s.tamper("one", "foreign")
	}
	s.eventually("the fight is told", func() string { return s.event("DriftCorrected", "in a row") })
}

// TestFightWhileRefused: attempts that are refused again and again do not keep a fight from being fought.
func TestFightWhileRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.RetryInterval = &metav1.Duration{Duration: time.Second}
	})
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	bad := s.deployment("web")
	unstructured.RemoveNestedField(bad.Object, "spec", "selector")
	s.render(ks, second, s.configMap("one", "1"), bad)
	s.ready(ks, "False", "ReconciliationFailed", "")
	for range drift.FreeCorrections + 2 {
		s.tamper("one", "foreign")
		s.eventually("the value is ours", func() string { return s.value("one", "1") })
	}
}

// tamper changes a ConfigMap as somebody else would.
func (s *stack) tamper(name, value string) {
	s.t.Helper()
	s.eventually("tamper with "+name, func() string {
		cm := &corev1.ConfigMap{}
		if err := s.client.Get(s.t.Context(), s.name(name), cm); err != nil {
			return err.Error()
		}
		cm.Data["key"] = value
		return complain(s.client.Update(s.t.Context(), cm, client.FieldOwner("kubectl-edit")))
	})
}

// value complains if a ConfigMap does not have the value.
func (s *stack) value(name, want string) string {
	cm := &corev1.ConfigMap{}
	if err := s.client.Get(s.t.Context(), s.name(name), cm); err != nil {
		return err.Error()
	}
	if got := cm.Data["key"]; got != want {
		return fmt.Sprintf("it is %q, want %q", got, want)
	}
	return ""
}

// event complains if there is no core/v1 Event with that reason and text.
func (s *stack) event(reason, text string) string {
	list := &corev1.EventList{}
	if err := s.client.List(s.t.Context(), list, client.InNamespace(s.namespace)); err != nil {
		return err.Error()
	}
	var seen []string
	for _, e := range list.Items {
		if e.Reason == reason && strings.Contains(e.Message, text) {
			return ""
		}
		seen = append(seen, e.Reason+": "+e.Message)
	}
	return "only " + strings.Join(seen, "; ")
}

func (s *stack) name(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: s.namespace, Name: name}
}

func (s *stack) delete(o client.Object, name string) {
	s.t.Helper()
	s.get(o, name)
	if err := s.client.Delete(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
}

func complain(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}
