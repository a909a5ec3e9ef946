package controller

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/events"
	"github.com/sluice-gitops/sluice/sync-controller/internal/peers"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/record"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// BenchmarkRevisionMoved is the reconciliation of an app of a hundred objects that a commit did not touch: one status patch. It has
// no store and no target, so a disk write, a decryption or a request about an object would end it.
func BenchmarkRevisionMoved(b *testing.B) {
	api := movedAPI()
	r := &Reconciler{
		Kind: subject.Kustomizations(), Client: api, AllowFlux: true, Jitter: spread(0), Now: time.Now,
		Watcher: nothingWatched{}, Managed: drift.NewManaged(nothingWatched{}), Gates: &peers.Gates{}, Dependency: time.Minute,
		Events: &events.Emitter{Kind: subject.Kustomizations(), Announcer: &announcements{}, Now: time.Now},
	}
	key := subject.Key{Kind: "Kustomization", Namespace: "apps", Name: "web"}
	mem := r.memories.of(key)
	mem.uid, mem.loaded, mem.attempt.Verified = "uid", true, true
	mem.attempt.Goal = plan.Goal{UID: "uid", Generation: 1, Revision: "revision 0", Tag: "tag"}
	mem.attempt.Stage, mem.attempt.Outcome, mem.attempt.EndedAt = plan.Ended, plan.ReasonSucceeded, time.Now()
	mem.record = record.Written(&v1alpha1.Sync{})
	req := ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "apps", Name: "web"}}
	pass := func() {
		api.render.Source.Revision = "revision " + strconv.Itoa(api.patches+1)
		if _, err := r.Reconcile(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
	pass() // writes the record for the first time
	before := *api
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		pass()
	}
	b.StopTimer()
	if patches, applies := api.patches-before.patches, api.applies-before.applies; patches != b.N || applies != 0 {
		b.Errorf("%d passes made %d status patches and %d other writes", b.N, patches, applies)
	}
}

// memoryAPI holds one Kustomization and its Render, and counts writes.
type memoryAPI struct {
	client.Client
	ks               *kustomizev1.Kustomization
	render           *v1alpha1.Render
	patches, applies int
}

func movedAPI() *memoryAPI {
	ks := &kustomizev1.Kustomization{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "web", UID: "uid", Generation: 1, ResourceVersion: "1", Finalizers: []string{finalizer}},
		Spec: kustomizev1.KustomizationSpec{
			Interval: metav1.Duration{Duration: time.Hour}, Prune: true, Wait: true,
			SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "repo"},
		},
	}
	inventory := &kustomizev1.ResourceInventory{}
	for i := range 100 {
		inventory.Entries = append(inventory.Entries, kustomizev1.ResourceRef{ID: fmt.Sprintf("apps_object-%d__ConfigMap", i), Version: "v1"})
	}
	ks.Status.Inventory = inventory
	return &memoryAPI{ks: ks, render: &v1alpha1.Render{
		Subject:   v1alpha1.Subject{Kind: "Kustomization", Name: "web", UID: "uid", Generation: 1},
		Source:    v1alpha1.Source{Kind: "GitRepository", Namespace: "apps", Name: "repo"},
		Rendering: &v1alpha1.Rendering{Tag: "tag"},
		Status:    v1alpha1.RenderStatus{Conditions: []metav1.Condition{{Type: "Ready", Status: "True", Reason: "Succeeded"}}},
	}}
}

func (m *memoryAPI) Get(_ context.Context, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	switch o := o.(type) {
	case *kustomizev1.Kustomization:
		m.ks.DeepCopyInto(o)
	case *v1alpha1.Render:
		m.render.DeepCopyInto(o)
	}
	return nil
}

func (m *memoryAPI) Apply(context.Context, runtime.ApplyConfiguration, ...client.ApplyOption) error {
	m.applies++
	return nil
}

func (m *memoryAPI) Status() client.SubResourceWriter { return memoryStatus{m: m} }

type memoryStatus struct {
	client.SubResourceWriter
	m *memoryAPI
}

func (s memoryStatus) Patch(_ context.Context, o client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
	if _, err := patch.Data(o); err != nil {
		return err
	}
	s.m.patches++
	o.SetResourceVersion(strconv.Itoa(s.m.patches + 1))
	ks, ok := o.(*kustomizev1.Kustomization)
	if !ok {
		return fmt.Errorf("a status of %T was patched", o)
	}
	s.m.ks = ks.DeepCopy()
	return nil
}
