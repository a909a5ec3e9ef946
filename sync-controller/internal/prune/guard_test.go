package prune_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/prune"
)

// A namespace that others depend on is not deleted for a file that left, whoever's labels it carries; any other one is.
func TestClusterPruneOfNamespaces(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "prune-", Labels: f.Owner.Labels()}}
	other.Finalizers = []string{"example.org/hold"}
	if err := f.client.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{f.namespace, "default", "kube-system"} {
		o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := f.client.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		before := o.DeepCopy()
		o.Labels[group+"/name"], o.Labels[group+"/namespace"] = f.Owner.Name, f.Owner.Namespace
		if err := f.client.Patch(t.Context(), o, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	guard := prune.NewGuard(&f.Pruner, map[string]string{f.namespace: "the Kustomization itself", "": "no namespace"})
	var stale []inventory.Entry
	for _, name := range []string{f.namespace, other.Name, "default", "kube-system"} {
		id := inventory.ID{Name: name, GroupKind: schema.GroupKind{Kind: "Namespace"}}
		stale = append(stale, inventory.Entry{ID: id, Version: "v1"})
	}
	result, err := guard.Prune(t.Context(), stale)
	if err != nil || len(result.Survivors) > 0 {
		t.Fatalf("got %v and survivors %v", err, result.Survivors)
	}
	got := map[string]string{}
	for _, line := range result.Changes.Notable().Lines(10) {
		name, what, _ := strings.Cut(strings.TrimPrefix(line, "Namespace/"), " ")
		got[name] = what
	}
	want := map[string]string{
		f.namespace: "kept: it holds the Kustomization itself", other.Name: "deleted",
		"default": "kept: namespaces of that name are Kubernetes' own", "kube-system": "kept: namespaces of that name are Kubernetes' own",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if left, err := guard.Terminating(t.Context(), stale); err != nil || len(left) != 1 || left[0].ID.Name != other.Name {
		t.Errorf("got %v, %v: want nothing waited for but what was deleted", left, err)
	}
	if lines := result.Changes.Changed().Lines(10); len(lines) != 1 {
		t.Errorf("got %v, want that what is kept counts as no change", lines)
	}
	for name, deleted := range map[string]bool{f.namespace: false, other.Name: true, "default": false, "kube-system": false} {
		o := &corev1.Namespace{}
		if err := f.client.Get(t.Context(), client.ObjectKey{Name: name}, o); err != nil || (o.DeletionTimestamp != nil) != deleted {
			t.Errorf("namespace %s: %v, deletion %v, want %v", name, err, o.DeletionTimestamp, deleted)
		}
	}
}
