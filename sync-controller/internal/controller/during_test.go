package controller

import (
	"context"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/target"
)

// slow applies when it is told to.
type slow struct {
	target.Applier
	reached chan<- struct{}
	goOn    <-chan struct{}
}

func (s slow) Apply(ctx context.Context, set apply.Set, o apply.Options) (apply.ChangeSet, error) {
	select {
	case s.reached <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-s.goOn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.Applier.Apply(ctx, set, o)
}

// slowly makes every apply wait: it says when it is reached, and goes on when it is told to.
func (s *stack) slowly() (reached <-chan struct{}, goOn chan<- struct{}) {
	at, on := make(chan struct{}), make(chan struct{})
	s.wrap = func(next target.For) target.For {
		return func(owner inventory.Owner, manager, user string) (target.Target, error) {
			t, err := next(owner, manager, user)
			t.Applier = slow{Applier: t.Applier, reached: at, goOn: on}
			return t, err
		}
	}
	return at, on
}

func (s *stack) edit(ks *kustomizev1.Kustomization, change func(*kustomizev1.Kustomization)) {
	s.t.Helper()
	s.get(ks, ks.Name)
	base := ks.DeepCopy()
	change(ks)
	if err := s.client.Patch(s.t.Context(), ks, client.MergeFrom(base)); err != nil {
		s.t.Fatal(err)
	}
}

// TestEditedDuringApply: what an apply that was under way reports is about the generation that it had read, and the newer
// one comes next.
func TestEditedDuringApply(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	reached, goOn := s.slowly()
	s.start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"))
	<-reached
	s.edit(ks, func(ks *kustomizev1.Kustomization) { ks.Spec.Path = "./other" })
	goOn <- struct{}{}
	s.eventually("the outcome is reported", func() string {
		if s.get(ks, "app"); ks.Status.LastAppliedRevision != first {
			return "it is not"
		}
		return ""
	})
	ready := apimeta.FindStatusCondition(ks.Status.Conditions, "Ready")
	if ks.Status.ObservedGeneration != 1 || (ready.Status == "True" && ready.ObservedGeneration != 1) {
		t.Errorf("the outcome of generation 1 is told of %d: %+v", ks.Generation, ks.Status)
	}
	s.render(ks, first, s.configMap("two", "2"))
	<-reached
	goOn <- struct{}{}
	s.gone(&corev1.ConfigMap{}, "one")
	s.eventually("the newer one is reported", func() string {
		s.get(ks, "app")
		if ks.Status.ObservedGeneration != 2 || !apimeta.IsStatusConditionTrue(ks.Status.Conditions, "Ready") {
			return "it is not"
		}
		return s.value("two", "2")
	})
}

// TestSuspendedDuringApply: an apply that is under way ends, and nothing follows until the subject is resumed.
func TestSuspendedDuringApply(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	reached, goOn := s.slowly()
	s.start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"))
	<-reached
	s.edit(ks, func(ks *kustomizev1.Kustomization) { ks.Spec.Suspend = true })
	goOn <- struct{}{}
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.render(ks, second, s.configMap("one", "2"))
	select {
	case <-reached:
		t.Fatal("a suspended subject was applied")
	case <-time.After(2 * time.Second):
	}
	s.edit(ks, func(ks *kustomizev1.Kustomization) { ks.Spec.Suspend = false })
	s.render(ks, second, s.configMap("one", "2"))
	<-reached
	goOn <- struct{}{}
	s.ready(ks, "True", "ReconciliationSucceeded", second)
	if complaint := s.value("one", "2"); complaint != "" {
		t.Error(complaint)
	}
}
