package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
	"github.com/sluice-gitops/sluice/sync-controller/internal/target"
)

// dying applies some objects, and then hangs until its process ends: what a kill leaves.
type dying struct {
	target.Applier
	after   int
	reached chan<- struct{}
}

func (d dying) Apply(ctx context.Context, set apply.Set, o apply.Options) (apply.ChangeSet, error) {
	left := d.after
	part := set.Only(func(inventory.ID) bool { left--; return left >= 0 })
	changes, err := d.Applier.Apply(ctx, part, o)
	if err != nil {
		return changes, err
	}
	d.reached <- struct{}{}
	<-ctx.Done()
	return changes, ctx.Err()
}

// TestKilledDuringApply: whatever an interrupted apply has created is either applied or deleted in the end.
func TestKilledDuringApply(t *testing.T) {
	t.Parallel()
	for after := range 4 {
		t.Run(fmt.Sprintf("after %d objects", after), func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			reached := make(chan struct{}, 1)
			s.wrap = func(next target.For) target.For {
				return func(owner inventory.Owner, manager, user string) (target.Target, error) {
					t, err := next(owner, manager, user)
					t.Applier = dying{Applier: t.Applier, after: after, reached: reached}
					return t, err
				}
			}
			s.start()
			ks := s.kustomization("app")
			s.render(ks, first, s.configMap("one", "1"), s.configMap("two", "2"), s.configMap("three", "3"))
			<-reached
			s.stop()

			s.wrap = nil
			s.render(ks, second, s.configMap("four", "4"))
			s.start()
			s.ready(ks, "True", "ReconciliationSucceeded", second)
			for _, name := range []string{"one", "two", "three"} {
				s.gone(&corev1.ConfigMap{}, name)
			}
			if entries := ks.Status.Inventory.Entries; len(entries) != 1 {
				t.Errorf("inventory: %v", entries)
			}
		})
	}
}

// TestRestartAsksForNothing: a new process lists metadata and finds everything as it was left.
func TestRestartAsksForNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Spec.Interval.Duration = time.Second })
	s.render(ks, first, s.configMap("one", "1"), s.configMap("two", "2"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.idle(time.Second)
	s.stop()
	s.requests.take()
	s.start()
	s.rest(3 * time.Second)
	if seen := s.requests.take(); len(seen) > 0 {
		t.Errorf("after a restart: %s", strings.Join(seen, ", "))
	}
	s.stop()

	s.tamper("one", "while it was down")
	s.start()
	s.eventually("what changed meanwhile is corrected", func() string { return s.value("one", "1") })
}

// TestLostStorage: without what was kept, everything is compared and nothing is written.
func TestLostStorage(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.rest(time.Second)
	s.stop()
	s.requests.take()
	s.storage = t.TempDir()
	s.start()
	s.rest(2 * time.Second)
	for _, line := range s.requests.take() {
		if !strings.HasPrefix(line, "GET ") && !strings.Contains(line, "dry-run") {
			t.Errorf("written after a restart: %s", line)
		}
	}
	s.tamper("one", "foreign")
	s.eventually("drift is corrected", func() string { return s.value("one", "1") })
}

// TestRestartHeals: what changed while no process was there is as it was accepted last, although nothing newer can be had.
func TestRestartHeals(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		// spoil makes the newest commit a bad one, for this reason.
		spoil  func(*stack, *kustomizev1.Kustomization)
		reason string
	}{
		"it cannot be rendered": {func(s *stack, ks *kustomizev1.Kustomization) {
			r := s.unrendered(kustomizev1.KustomizationKind, ks, second)
			apimeta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{Type: meta.ReadyCondition, Status: "False", Reason: "BuildFailed", Message: "bad"})
			s.record(r)
		}, "BuildFailed"},
		"it is refused": {func(s *stack, ks *kustomizev1.Kustomization) {
			bad := s.deployment("web")
			unstructured.RemoveNestedField(bad.Object, "spec", "selector")
			s.render(ks, second, s.configMap("gone", "2"), s.configMap("changed", "2"), bad)
		}, "ReconciliationFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t).start()
			ks := s.kustomization("app")
			s.render(ks, first, s.configMap("gone", "1"), s.configMap("changed", "1"), s.configMap("same", "1"))
			s.ready(ks, "True", "ReconciliationSucceeded", first)
			tc.spoil(s, ks)
			s.ready(ks, "False", tc.reason, "")
			s.stop()
			s.delete(&corev1.ConfigMap{}, "gone")
			s.tamper("changed", "foreign")
			same := &corev1.ConfigMap{}
			s.get(same, "same")

			s.start()
			s.eventually("what was deleted is back", func() string { return s.value("gone", "1") })
			s.eventually("what was changed is corrected", func() string { return s.value("changed", "1") })
			s.eventually("it is told", func() string { return s.event("DriftCorrected", "gone was deleted") })
			s.ready(ks, "False", tc.reason, "")
			left := &corev1.ConfigMap{}
			if s.get(left, "same"); left.ResourceVersion != same.ResourceVersion {
				t.Error("an object that nobody touched was written")
			}
		})
	}
}

// TestRestartLeavesReleases: a release whose objects are not compared is at rest after a restart.
func TestRestartLeavesReleases(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	hr := s.helmRelease("app", noWait)
	s.release(hr, nil, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.configMap("one", "1"))
	s.released(hr, "True", "InstallSucceeded", "app.v1")
	s.eventually("its end is kept", func() string { return s.keptEnd("helmrelease", "app") })
	s.stop()
	r := s.alone()
	r.Kind, r.Events.Kind = subject.HelmReleases(), subject.HelmReleases()
	result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: s.name("app")})
	if err != nil || result.RequeueAfter < 30*time.Minute {
		t.Errorf("after a restart: %+v, %v", result, err)
	}
}

// keptEnd complains if the progress that is on disk is not that of an attempt that has ended.
func (s *stack) keptEnd(kind, name string) string {
	data, err := os.ReadFile(filepath.Join(s.storage, kind, s.namespace, name, "state.json"))
	if err != nil {
		return err.Error()
	}
	var kept attempt.Progress
	if err := json.Unmarshal(data, &kept); err != nil {
		return err.Error()
	}
	if kept.Stage != plan.Ended {
		return "it is at " + string(kept.Stage)
	}
	return ""
}

// TestHealthDeadlineSurvivesRestart: the time before a restart counts.
func TestHealthDeadlineSurvivesRestart(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Spec.Wait = true })
	s.render(ks, first, s.deployment("web"))
	s.ready(ks, "Unknown", "Progressing", "health checks")
	s.stop()
	s.start()
	s.rest(time.Second)
	s.finish("web")
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	if n := len(ks.Status.History); n != 1 {
		t.Errorf("%d lines of history: the attempt was started anew", n)
	}
}

// deployment is an object whose health decides.
func (s *stack) deployment(name string) *unstructured.Unstructured {
	labels := map[string]any{"app": name}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"namespace": s.namespace, "name": name},
		"spec": map[string]any{
			"replicas": int64(1), "selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "main", "image": "example.org/app:1"}}},
			},
		},
	}}
}
