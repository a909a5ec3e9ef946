package prune_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/prune"
)

const group = "kustomize.toolkit.fluxcd.io"

// fixture is a pruner, and a namespace with what its owner has applied.
type fixture struct {
	prune.Pruner
	client    client.WithWatch
	namespace string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	c, err := client.NewWithWatch(cluster(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "prune-"}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	owner := inventory.Owner{Group: group, Namespace: namespace.Name, Name: "apps"}
	return &fixture{Pruner: prune.Pruner{Client: c, Owner: owner}, client: c, namespace: namespace.Name}
}

// create makes a ConfigMap of the owner's.
func (f *fixture) create(t *testing.T, name string, change func(*corev1.ConfigMap)) inventory.Entry {
	t.Helper()
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name, Labels: f.Owner.Labels()}}
	if change != nil {
		change(o)
	}
	if err := f.client.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return f.entry(name)
}

func (f *fixture) entry(name string) inventory.Entry {
	id := inventory.ID{Namespace: f.namespace, Name: name, GroupKind: schema.GroupKind{Kind: "ConfigMap"}}
	return inventory.Entry{ID: id, Version: "v1"}
}

func (f *fixture) exists(t *testing.T, name string) bool {
	t.Helper()
	err := f.client.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: name}, &corev1.ConfigMap{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

func TestClusterPrune(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stale := []inventory.Entry{
		f.create(t, "a", nil),
		f.create(t, "kept", func(o *corev1.ConfigMap) { o.Annotations = map[string]string{group + "/prune": "disabled"} }),
		f.create(t, "taken", func(o *corev1.ConfigMap) { o.Labels[group+"/name"] = "other" }),
		f.create(t, "z", nil),
		f.entry("gone"),
		{ID: inventory.ID{Name: "x", GroupKind: schema.GroupKind{Group: "removed.example.org", Kind: "Widget"}}, Version: "v1"},
	}
	result, err := f.Prune(t.Context(), stale)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"z deleted", "taken skipped", "kept skipped", "a deleted"}
	for i := range want {
		want[i] = "ConfigMap/" + f.namespace + "/" + want[i]
	}
	if diff := cmp.Diff(want, result.Changes.Lines(10)); diff != "" {
		t.Errorf("in reverse order, only what is ours; what is gone is not mentioned:\n%s", diff)
	}
	for name, want := range map[string]bool{"a": false, "z": false, "kept": true, "taken": true} {
		if f.exists(t, name) != want {
			t.Errorf("%s exists: %v, want %v", name, !want, want)
		}
	}
	if len(result.Survivors) > 0 {
		t.Errorf("survivors %v, want none", result.Survivors)
	}
}

func TestClusterPruneFailureDoesNotStopOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stale := []inventory.Entry{f.create(t, "a", nil), f.create(t, "b", nil), f.create(t, "c", nil)}
	f.Client = interceptor.NewClient(f.client, interceptor.Funcs{
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			if o.GetName() == "b" {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "b", nil)
			}
			return c.Delete(ctx, o, opts...)
		},
	})
	result, err := f.Prune(t.Context(), stale)
	if err == nil || !strings.Contains(err.Error(), "delete failed: ConfigMap/"+f.namespace+"/b") {
		t.Errorf("got error %v, want one that names b", err)
	}
	if diff := cmp.Diff([]inventory.Entry{f.entry("b")}, result.Survivors); diff != "" {
		t.Errorf("survivors:\n%s", diff)
	}
	if f.exists(t, "a") || f.exists(t, "c") || !f.exists(t, "b") {
		t.Error("want a and c deleted, and b kept")
	}
}

func TestClusterPruneDeletesOnlyTheObjectItLookedAt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stale := []inventory.Entry{f.create(t, "a", nil)}
	f.Client = interceptor.NewClient(f.client, interceptor.Funcs{
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			// Somebody else replaces the object between the look and the deletion.
			if err := c.Delete(ctx, o); err != nil {
				return err
			}
			f.create(t, "a", func(o *corev1.ConfigMap) { o.Labels = nil })
			return c.Delete(ctx, o, opts...)
		},
	})
	result, err := f.Prune(t.Context(), stale)
	if err == nil || !strings.Contains(err.Error(), "replaced by another object") || len(result.Survivors) != 1 {
		t.Errorf("got %v and survivors %v, want a refusal", err, result.Survivors)
	}
	if !f.exists(t, "a") {
		t.Error("the replacement was deleted")
	}
}

func TestClusterTerminating(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	held := f.create(t, "held", func(o *corev1.ConfigMap) { o.Finalizers = []string{"example.org/hold"} })
	entries := []inventory.Entry{held, f.create(t, "free", nil)}
	if _, err := f.Prune(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	left, err := f.Terminating(t.Context(), entries)
	if err != nil || !cmp.Equal([]inventory.Entry{held}, left) {
		t.Fatalf("got %v, %v: want the object that a finalizer holds", left, err)
	}
	again, err := f.Prune(t.Context(), []inventory.Entry{held})
	if err != nil || again.Changes.Count("deleted") != 1 {
		t.Errorf("got %v, %v: an object that is being deleted needs no second request", again, err)
	}
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "held"}}
	if err := f.client.Patch(t.Context(), o, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
		t.Fatal(err)
	}
	f.create(t, "free", nil)
	if left, err := f.Terminating(t.Context(), entries); err != nil || len(left) > 0 {
		t.Errorf("got %v, %v: want nothing; a new object of the name is another one", left, err)
	}
}

func TestClusterPruneLeavesTheClusterScopedObjectThatAStrayNamespaceMeans(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: f.namespace, Labels: f.Owner.Labels()}}
	if err := f.client.Create(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	// What an inventory holds of an object whose kind was not known to have no namespace when it was first tried.
	stray := inventory.EntryOf(&rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: f.namespace},
	})
	result, err := f.Prune(t.Context(), []inventory.Entry{stray})
	if err != nil || len(result.Changes) > 0 || len(result.Survivors) > 0 {
		t.Errorf("got %+v, %v: want nothing done", result, err)
	}
	if err := f.client.Get(t.Context(), client.ObjectKeyFromObject(role), role); err != nil || role.DeletionTimestamp != nil {
		t.Errorf("the object that is applied was deleted: %v", err)
	}
	stray.ID.Namespace = ""
	if result, err := f.Prune(t.Context(), []inventory.Entry{stray}); err != nil || result.Changes.Count("deleted") != 1 {
		t.Errorf("got %+v, %v: want it deleted by its own entry", result, err)
	}
}

// eventually waits for what the API server needs a moment for.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.After(90 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatal("it did not happen in time")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
