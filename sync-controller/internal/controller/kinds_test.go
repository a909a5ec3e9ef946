package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// definition is that of a kind, in an API group of the test's own.
func (s *stack) definition(kind, plural string, annotations map[string]any) *unstructured.Unstructured {
	metadata := map[string]any{"name": plural + "." + s.group()}
	if annotations != nil {
		metadata["annotations"] = annotations
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata,
		"spec": map[string]any{
			"group": s.group(), "scope": "Namespaced", "names": map[string]any{"kind": kind, "plural": plural},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}},
			}},
		},
	}}
}

func (s *stack) group() string { return s.namespace + ".example.org" }

func (s *stack) custom(kind, name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": s.group() + "/v1", "kind": kind, "metadata": map[string]any{"namespace": s.namespace, "name": name},
	}}
}

// defined complains if a definition is there and should not be, or the other way round.
func (s *stack) defined(plural string, want bool) string {
	o := s.definition("", plural, nil)
	err := s.client.Get(s.t.Context(), client.ObjectKeyFromObject(o), o)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return err.Error()
	case want != (err == nil && o.GetDeletionTimestamp() == nil):
		return fmt.Sprintf("CustomResourceDefinition %s: want it there: %v", plural, want)
	}
	return ""
}

// TestDefinitionsOfARelease: those of templates/ go with the release, or with the version that has none any more, as any
// object does; those of crds/ stay, and so does one that asks to be kept.
func TestDefinitionsOfARelease(t *testing.T) {
	t.Parallel()
	template := map[string]any{"meta.helm.sh/release-name": "app"}
	kept := map[string]any{"meta.helm.sh/release-name": "app", "helm.sh/resource-policy": "keep"}
	s := newStack(t).start()
	hr := s.helmRelease("app", noWait)
	all := []*unstructured.Unstructured{
		s.definition("Folder", "folders", nil), s.definition("Kept", "kepts", kept),
		s.definition("Morn", "morns", template), s.definition("Late", "lates", template),
	}
	s.release(hr, map[string]any{"a": 1}, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, all...)
	s.released(hr, "True", "InstallSucceeded", "app.v1")
	s.release(hr, map[string]any{"a": 2}, v1alpha1.ReleaseParameters{Revision: 2}, s.definition("Late", "lates", template))
	s.released(hr, "True", "UpgradeSucceeded", "app.v2")
	s.eventually("the definition that left the templates is gone", func() string { return s.defined("morns", false) })
	s.delete(&helmv2.HelmRelease{}, "app")
	s.gone(&helmv2.HelmRelease{}, "app")
	for plural, want := range map[string]bool{"folders": true, "kepts": true, "morns": false, "lates": false} {
		if complaint := s.defined(plural, want); complaint != "" {
			t.Error(complaint)
		}
	}
}

// TestReleaseWaitsForItsKinds: a release with an object of a kind that comes a minute later is not recorded before, and is
// then its first revision.
func TestReleaseWaitsForItsKinds(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	hr := s.helmRelease("app", noWait)
	s.release(hr, nil, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.configMap("one", "1"), s.custom("Monitor", "two"))
	s.released(hr, "False", "InstallFailed", "Monitor/"+s.namespace+"/two cannot be applied: no kind Monitor in group "+s.group()+"/v1: is its CRD installed?")
	if apimeta.IsStatusConditionTrue(hr.Status.Conditions, "Stalled") || hr.Status.Failures != 0 || len(hr.Status.History) != 0 {
		t.Errorf("it is to be tried again as if nothing had been: %+v", hr.Status)
	}
	records := &corev1.SecretList{}
	if err := s.client.List(t.Context(), records, client.InNamespace(s.namespace)); err != nil || len(records.Items) != 0 {
		t.Errorf("got %v and %d records, want none", err, len(records.Items))
	}
	s.gone(&corev1.ConfigMap{}, "one")
	if err := s.client.Create(t.Context(), s.definition("Monitor", "monitors", nil)); err != nil {
		t.Fatal(err)
	}
	s.released(hr, "True", "InstallSucceeded", "app.v1")
	if complaint := s.storageStatus("app", 1, "deployed"); complaint != "" {
		t.Error(complaint)
	}
}

// TestKindUnderAnotherPlural: a definition that was deleted and made again with another plural is found, by a process that knew
// it before.
func TestKindUnderAnotherPlural(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	if err := s.client.Create(t.Context(), s.definition("Gadget", "gadgets", nil)); err != nil {
		t.Fatal(err)
	}
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Spec.RetryInterval = &metav1.Duration{Duration: time.Second} })
	s.render(ks, first, s.custom("Gadget", "one"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	if err := s.client.Delete(t.Context(), s.definition("Gadget", "gadgets", nil)); err != nil {
		t.Fatal(err)
	}
	s.eventually("the definition is gone", func() string { return s.defined("gadgets", false) })
	s.eventually("it is made again", func() string {
		return complain(s.client.Create(t.Context(), s.definition("Gadget", "gadgetries", nil)))
	})
	s.render(ks, second, s.custom("Gadget", "one"), s.configMap("two", "2"))
	s.ready(ks, "True", "ReconciliationSucceeded", second)
	fresh, err := client.New(apiServer, client.Options{}) // the test's own client remembers the plural before
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("the object is there", func() string {
		o := s.custom("Gadget", "one")
		return complain(fresh.Get(t.Context(), client.ObjectKeyFromObject(o), o))
	})
}

// TestNamespacesAreKept: the namespace that a subject lives in is deleted neither for a file that left nor with the subject,
// and Sync says why.
func TestNamespacesAreKept(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	namespace := func(name string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name},
		}}
	}
	other := s.namespace + "-other"
	ks := s.kustomization("app")
	s.render(ks, first, namespace(s.namespace), namespace(other), s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.render(ks, second, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", second)
	why := "Namespace/" + s.namespace + " kept: it holds the Kustomization itself"
	s.eventually("Sync says why", func() string {
		record := &v1alpha1.Sync{}
		s.get(record, "kustomization-app")
		if record.LastChange == nil || !strings.Contains(strings.Join(record.LastChange.Entries, ";"), why) || record.LastChange.Deleted != 1 {
			return fmt.Sprintf("%+v", record.LastChange)
		}
		return ""
	})
	s.eventually("so does an event", func() string { return s.event("Progressing", why) })
	for name, deleted := range map[string]bool{s.namespace: false, other: true} {
		o := &corev1.Namespace{}
		err := s.client.Get(t.Context(), client.ObjectKey{Name: name}, o)
		if got := apierrors.IsNotFound(err) || o.DeletionTimestamp != nil; got != deleted {
			t.Errorf("namespace %s: deleted %v, want %v (%v)", name, got, deleted, err)
		}
	}

	s.render(ks, "main@sha1:cccc", namespace(s.namespace), s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", "main@sha1:cccc")
	s.delete(&kustomizev1.Kustomization{}, "app")
	s.gone(&kustomizev1.Kustomization{}, "app")
	s.gone(&corev1.ConfigMap{}, "one")
	o := &corev1.Namespace{}
	if err := s.client.Get(t.Context(), client.ObjectKey{Name: s.namespace}, o); err != nil || o.DeletionTimestamp != nil {
		t.Errorf("the namespace went with the subject: %v", err)
	}
}
