package controller

import (
	"fmt"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// TestReleaseTakenAway: a release that somebody has uninstalled is installed again at the next interval, without drift
// detection.
func TestReleaseTakenAway(t *testing.T) {
	t.Parallel()
	install, upgrade := v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, v1alpha1.ReleaseParameters{Revision: 2}
	s := newStack(t).start()
	hr := s.helmRelease("app", noWait, func(hr *helmv2.HelmRelease) { hr.Spec.Interval.Duration = time.Second })
	s.release(hr, nil, install, s.configMap("one", "1"))
	s.released(hr, "True", "InstallSucceeded", "app.v1")
	s.next("app", upgrade)
	s.release(hr, nil, upgrade, s.configMap("one", "1"))
	s.delete(&corev1.ConfigMap{}, "one")
	s.delete(&corev1.Secret{}, "sh.helm.release.v1.app.v1")
	s.next("app", install)
	s.release(hr, nil, install, s.configMap("one", "1"))
	s.eventually("it is installed", func() string { return s.value("one", "1") })
	s.eventually("it is recorded", func() string { return s.storageStatus("app", 1, "deployed") })
}

// TestHealthOfOthers: what a subject checks beside its own objects is looked at again at each interval: no watch tells of it.
func TestHealthOfOthers(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	if err := s.client.Create(t.Context(), s.deployment("web")); err != nil {
		t.Fatal(err)
	}
	s.finish("web")
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.Interval.Duration = time.Second
		ks.Spec.HealthChecks = []meta.NamespacedObjectKindReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", Namespace: s.namespace}}
	})
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.hang("web")
	s.ready(ks, "False", "HealthCheckFailed", "Deployment/"+s.namespace+"/web")
	s.finish("web")
	s.ready(ks, "True", "ReconciliationSucceeded", first)
}

// TestHandedOver: a subject whose labels make it this process' own is looked at at once, not when something else happens.
func TestHandedOver(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Labels = nil })
	s.render(ks, first, s.configMap("one", "1"))
	own := s.kustomization("own")
	s.render(own, first, s.configMap("two", "1"))
	s.ready(own, "True", "ReconciliationSucceeded", first) // by now the other one was passed over
	if s.get(ks, "app"); len(ks.Finalizers) > 0 {
		t.Fatalf("it is somebody else's: %v", ks.Finalizers)
	}
	s.edit(ks, func(ks *kustomizev1.Kustomization) { ks.Labels = own.Labels })
	s.ready(ks, "True", "ReconciliationSucceeded", first)
}

// TestDependencyCycle: subjects that wait for each other say so.
func TestDependencyCycle(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	on := func(name string) func(*kustomizev1.Kustomization) {
		return func(ks *kustomizev1.Kustomization) {
			ks.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: name}}
		}
	}
	a, b, c := s.kustomization("a", on("b")), s.kustomization("b", on("a")), s.kustomization("c", on("a"))
	for _, ks := range []*kustomizev1.Kustomization{a, b, c} {
		s.render(ks, first, s.configMap(ks.Name, "1"))
	}
	name := func(name string) string { return "Kustomization/" + s.namespace + "/" + name }
	s.ready(a, "False", "DependencyNotReady", fmt.Sprintf("dependency cycle: %s → %s → %s", name("a"), name("b"), name("a")))
	s.ready(b, "False", "DependencyNotReady", "dependency cycle: ")
	s.ready(c, "False", "DependencyNotReady", "dependency '"+name("a")+"' is not ready")
	s.edit(b, func(ks *kustomizev1.Kustomization) { ks.Spec.DependsOn = nil })
	s.render(b, first, s.configMap("b", "1"))
	for _, ks := range []*kustomizev1.Kustomization{b, a, c} {
		s.ready(ks, "True", "ReconciliationSucceeded", first)
	}
}

// TestDependencyNotWatched: a dependency that this process cannot see is waited for, with a reason.
func TestDependencyNotWatched(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	app := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "db", Namespace: "default"}}
	})
	s.render(app, first, s.configMap("one", "1"))
	s.ready(app, "False", "DependencyNotReady", "unknown namespace for the cache")
}

// TestRequestTakenBack: an annotation that goes away takes no answer along.
func TestRequestTakenBack(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	})
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.edit(ks, func(ks *kustomizev1.Kustomization) { ks.Annotations = nil })
	s.render(ks, second, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", second)
	if ks.Status.LastHandledReconcileAt != "now" {
		t.Errorf("status: %+v", ks.Status)
	}
}

// TestDeletedRecordComesBackLater: a deleted record whose return is refused at first comes back all the same.
func TestDeletedRecordComesBackLater(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.refuse = &refusal{line: "PATCH syncs"}
	s.start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.refuse.again(2)
	s.delete(&v1alpha1.Sync{}, "kustomization-app")
	s.eventually("it is back", func() string {
		return complain(s.client.Get(t.Context(), s.name("kustomization-app"), &v1alpha1.Sync{}))
	})
}
