package controller

import (
	"context"
	"slices"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// TestForeignReleaseStays: a HelmRelease that never released anything takes no release along that has the same name.
func TestForeignReleaseStays(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	other := s.helmRelease("other", noWait, func(hr *helmv2.HelmRelease) { hr.Spec.ReleaseName = "app" })
	s.release(other, nil, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.configMap("one", "1"))
	s.released(other, "True", "InstallSucceeded", "app.v1")

	hr := s.helmRelease("app", func(hr *helmv2.HelmRelease) { hr.Spec.Test = &helmv2.Test{Enable: true} })
	s.released(hr, "False", "InvalidSpec", "spec.test.enable")
	s.delete(&helmv2.HelmRelease{}, "app")
	s.gone(&helmv2.HelmRelease{}, "app")
	if complaint := s.storageStatus("app", 1, "deployed"); complaint != "" {
		t.Error(complaint)
	}
	if complaint := s.value("one", "1"); complaint != "" {
		t.Error(complaint)
	}
}

// TestBegunReleaseGoes: a release that no status speaks of yet goes with its subject all the same.
func TestBegunReleaseGoes(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	hr := s.helmRelease("app")
	s.release(hr, nil, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.deployment("web"))
	s.released(hr, "Unknown", "Progressing", "health checks")
	if complaint := s.storageStatus("app", 1, "pending-install"); complaint != "" {
		t.Error(complaint)
	}
	s.delete(&helmv2.HelmRelease{}, "app")
	s.gone(&helmv2.HelmRelease{}, "app")
	s.gone(&corev1.Secret{}, "sh.helm.release.v1.app.v1")
}

// TestDeletedBesideItsSuccessor: what another subject of the same source is about to apply stays when the one goes that had
// it before.
func TestDeletedBesideItsSuccessor(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	before := s.kustomization("before")
	s.render(before, first, s.configMap("shared", "1"), s.configMap("alone", "1"))
	s.ready(before, "True", "ReconciliationSucceeded", first)
	shared := &corev1.ConfigMap{}
	s.get(shared, "shared")
	after := s.kustomization("after", func(ks *kustomizev1.Kustomization) {
		ks.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "missing"}}
	})
	s.render(after, second, s.configMap("shared", "1"))
	s.ready(after, "False", "DependencyNotReady", "missing")

	s.delete(&kustomizev1.Kustomization{}, "before")
	s.gone(&kustomizev1.Kustomization{}, "before")
	s.gone(&corev1.ConfigMap{}, "alone")
	uid := shared.UID
	if s.get(shared, "shared"); shared.UID != uid || shared.DeletionTimestamp != nil {
		t.Errorf("it was %s and is %+v", uid, shared.ObjectMeta)
	}
}

// TestTerminationGivesUp: a subject does not wait for ever for what it deletes, and says what it left.
func TestTerminationGivesUp(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.DeletionPolicy, ks.Spec.Timeout = "WaitForTermination", &metav1.Duration{Duration: time.Hour}
	})
	stuck := s.configMap("stuck", "1")
	stuck.SetFinalizers([]string{"example.org/stuck"})
	s.render(ks, first, stuck)
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.delete(ks, "app")
	cm := &corev1.ConfigMap{}
	s.eventually("it is being deleted", func() string {
		if s.get(cm, "stuck"); cm.DeletionTimestamp == nil {
			return "it is not"
		}
		return ""
	})
	s.get(ks, "app")
	s.later(time.Hour)
	s.gone(&kustomizev1.Kustomization{}, "app")
	s.eventually("it is told", func() string { return s.event("PruneFailed", "ConfigMap/"+s.namespace+"/stuck") })
	cm.Finalizers = nil
	if err := s.client.Update(t.Context(), cm); err != nil {
		t.Fatal(err)
	}
}

// stale shows a subject as it was.
type stale struct {
	client.Client
	was *kustomizev1.Kustomization
}

func (s stale) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	if ks, ok := o.(*kustomizev1.Kustomization); ok {
		s.was.DeepCopyInto(ks)
		return nil
	}
	return s.Client.Get(ctx, key, o, options...)
}

// TestForeignFinalizerStays: a finalizer that somebody adds meanwhile is not taken off with ours.
func TestForeignFinalizerStays(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.DeletionPolicy, ks.Finalizers = "Orphan", []string{finalizer, "example.org/first"}
	})
	s.delete(ks, "app")
	s.get(ks, "app")
	was := ks.DeepCopy()
	ks.Labels["changed"] = "meanwhile"
	if err := s.client.Update(t.Context(), ks); err != nil {
		t.Fatal(err)
	}
	r := s.alone()
	r.Client = stale{Client: r.Client, was: was}
	req := ctrl.Request{NamespacedName: s.name("app")}
	if result, err := r.Reconcile(t.Context(), req); err != nil || result.RequeueAfter != time.Second {
		t.Errorf("over an older version: %+v, %v", result, err)
	}
	if s.get(ks, "app"); !slices.Contains(ks.Finalizers, finalizer) {
		t.Errorf("finalizers were replaced by those of an older version: %v", ks.Finalizers)
	}
	r.Client = s.client
	if _, err := r.Reconcile(t.Context(), req); err != nil {
		t.Error(err)
	}
	if s.get(ks, "app"); slices.Contains(ks.Finalizers, finalizer) {
		t.Errorf("finalizers: %v", ks.Finalizers)
	}
}
