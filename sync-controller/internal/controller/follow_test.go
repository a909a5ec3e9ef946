package controller

import (
	"fmt"
	"slices"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/health"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
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

// TestHealthRefs is about which objects decide.
func TestHealthRefs(t *testing.T) {
	object := func(apiVersion, kind, namespace, name string, annotations map[string]string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{}
		o.SetAPIVersion(apiVersion)
		o.SetKind(kind)
		o.SetNamespace(namespace)
		o.SetName(name)
		o.SetAnnotations(annotations)
		return o
	}
	content := rendering.Content{}
	for _, o := range []*unstructured.Unstructured{
		object("apps/v1", "Deployment", "apps", "web", nil),
		object("apps/v1", "Deployment", "apps", "left", map[string]string{"kustomize.toolkit.fluxcd.io/ssa": "ignore"}),
		object("apps/v1", "Deployment", "apps", "off", map[string]string{"kustomize.toolkit.fluxcd.io/reconcile": "Disabled"}),
		object("networking.k8s.io/v1", "Ingress", "apps", "web", nil),
		object("example.org/v1", "Cluster", "", "all", nil),
		object("v1", "ConfigMap", "apps", "settings", nil),
	} {
		content.Objects = append(content.Objects, rendering.Object{Object: o})
	}
	ingress := kustomize.CustomHealthCheck{
		APIVersion: "networking.k8s.io/v1beta1", Kind: "Ingress",
		HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: "has(status.loadBalancer)"},
	}
	for name, tc := range map[string]struct {
		reason string
		checks healthChecks
		want   []string
	}{
		"all": {
			"what runs or has conditions, but nothing that asks not to be applied",
			healthChecks{all: true}, []string{"Deployment/apps/web", "Cluster/all"},
		},
		"all, with an expression": {
			"an expression makes a kind matter that has no health of its own",
			healthChecks{all: true, exprs: []kustomize.CustomHealthCheck{ingress}},
			[]string{"Deployment/apps/web", "Ingress/apps/web", "Cluster/all"},
		},
		"named": {
			"the named ones alone; without a namespace an object may have none",
			healthChecks{named: []meta.NamespacedObjectKindReference{
				{Kind: "Deployment", Name: "other"}, {APIVersion: "example.org/v1", Kind: "Cluster", Name: "all"},
			}},
			[]string{"Deployment/apps/other", "Cluster/all"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			exprs, err := health.Compile(tc.checks.exprs)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, ref := range healthRefs(tc.checks, exprs, content, inventory.ID{Namespace: "apps", Name: "app"}) {
				got = append(got, inventory.Describe(ref.ID))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%s: %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
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
