package drift_test

import (
	"context"
	"net"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

func TestClusterKindComesAndGoes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	crd := definition(f.namespace, "v1")
	gk := schema.GroupKind{Group: f.namespace + ".example.org", Kind: "Gadget"}
	f.watcher.SetKinds(append([]drift.Kind{{GroupVersionKind: gk.WithVersion("v1"), OwnerGroup: group}}, watched...))
	if f.watcher.Synced(group, gk) {
		t.Error("a kind that does not exist is synced")
	}
	for range 2 {
		eventually(t, func() bool {
			return f.client.Create(t.Context(), crd.DeepCopy()) == nil // once the former is gone
		})
		f.make(t, gk.WithVersion("v1"), "one")
		if err := f.client.Delete(t.Context(), crd.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		id := inventory.ID{Namespace: f.namespace, Name: "one", GroupKind: gk}
		if s := f.next(t); s.Type != drift.Gone || s.Object.ID != id {
			t.Errorf("got %+v, want that the object went with its kind", s)
		}
	}
}

// A definition that is made again with another plural is watched under that.
func TestClusterKindComesBackUnderAnotherPlural(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	gk := schema.GroupKind{Group: f.namespace + ".example.org", Kind: "Gadget"}
	before, after := definition(f.namespace, "v1"), definition(f.namespace, "v1")
	after.SetName("gadgetries." + gk.Group)
	if err := unstructured.SetNestedField(after.Object, "gadgetries", "spec", "names", "plural"); err != nil {
		t.Fatal(err)
	}
	if err := f.client.Create(t.Context(), before.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	f.watcher.SetKinds(append([]drift.Kind{{GroupVersionKind: gk.WithVersion("v1"), OwnerGroup: group}}, watched...))
	f.make(t, gk.WithVersion("v1"), "one")
	if err := f.client.Delete(t.Context(), before.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	if s := f.next(t); s.Type != drift.Gone {
		t.Errorf("got %+v, want that the object went with its kind", s)
	}
	eventually(t, func() bool { return f.client.Create(t.Context(), after.DeepCopy()) == nil })
	f.make(t, gk.WithVersion("v1"), "two")
}

// A kind is watched in the version that its objects were applied in first. When that is not served any more, as after an
// upgrade of the cluster, the objects are there all the same.
func TestClusterVersionOfAKindEnds(t *testing.T) {
	t.Parallel()
	way := &line{}
	config := cluster(t)
	config.Dial = way.dial
	f := newFixtureThrough(t, config)
	gk := schema.GroupKind{Group: f.namespace + ".example.org", Kind: "Gadget"}
	if err := f.client.Create(t.Context(), definition(f.namespace, "v1", "v1beta1")); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"v1", "v1beta1"} {
		eventually(t, func() bool {
			_, err := f.client.RESTMapper().RESTMapping(gk, version)
			return err == nil
		})
	}
	f.watcher.SetKinds(append([]drift.Kind{{GroupVersionKind: gk.WithVersion("v1beta1"), OwnerGroup: group}}, watched...))
	f.make(t, gk.WithVersion("v1beta1"), "one")
	crd := definition(f.namespace, "v1")
	crd.SetResourceVersion("")
	if err := f.client.Patch(t.Context(), crd, client.Merge); err != nil {
		t.Fatal(err)
	}
	old := &unstructured.UnstructuredList{}
	old.SetGroupVersionKind(gk.WithVersion("v1beta1"))
	eventually(t, func() bool { return apierrors.IsNotFound(f.client.List(t.Context(), old)) })
	way.cut() // a watch that runs would go on for some time
	f.make(t, gk.WithVersion("v1"), "two")
	if _, found := f.watcher.Fingerprint(group, inventory.ID{Namespace: f.namespace, Name: "one", GroupKind: gk}); !found {
		t.Error("the object that was there before is lost")
	}
}

// make creates an object of the owner's, as soon as its kind is there, and waits until the watcher has seen it.
func (f *fixture) make(t *testing.T, kind schema.GroupVersionKind, name string) {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{
		"name": name, "namespace": f.namespace,
		"labels": map[string]any{group + "/name": "apps", group + "/namespace": f.namespace},
	}}}
	o.SetGroupVersionKind(kind)
	eventually(t, func() bool { return f.client.Create(t.Context(), o.DeepCopy()) == nil })
	eventually(t, func() bool {
		_, found := f.watcher.Fingerprint(group, inventory.ID{Namespace: f.namespace, Name: name, GroupKind: kind.GroupKind()})
		return found
	})
}

// definition is that of the kind Gadget, in an API group of its own and the given versions, of which the first is stored.
func definition(prefix string, versions ...string) *unstructured.Unstructured {
	group := prefix + ".example.org"
	served := make([]any, len(versions))
	for i, name := range versions {
		served[i] = map[string]any{
			"name": name, "served": true, "storage": i == 0,
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}},
		}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "gadgets." + group},
		"spec": map[string]any{
			"group": group, "scope": "Namespaced",
			"names": map[string]any{"kind": "Gadget", "plural": "gadgets"}, "versions": served,
		},
	}}
}

// line is the way to the API server, which can be cut.
type line struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		_ = conn.Close()
	}
	l.conns = nil
}

// Nothing is known of objects that nobody may watch any more: somebody who believed what was seen last would never look.
func TestClusterWatchIsDenied(t *testing.T) {
	t.Parallel()
	admin, err := client.New(cluster(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "drift-"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"", "apps"}, Resources: []string{"*"}, Verbs: []string{"list", "watch"}}},
	}
	if err := admin.Create(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: role.Name}},
	}
	if err := admin.Create(t.Context(), binding.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	way := &line{}
	config := cluster(t)
	config.Impersonate = rest.ImpersonationConfig{UserName: role.Name}
	config.Dial = way.dial
	f := newFixtureThrough(t, config)
	id := inventory.ID{Namespace: f.namespace, Name: "a", GroupKind: schema.GroupKind{Kind: "ConfigMap"}}
	if _, found := f.watcher.Fingerprint(group, id); !found {
		t.Fatal("the object was not seen")
	}

	if err := admin.Delete(t.Context(), binding.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	denied, err := client.New(rest.CopyConfig(config), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return apierrors.IsForbidden(denied.List(t.Context(), &corev1.ConfigMapList{})) })
	way.cut()
	eventually(t, func() bool { return !f.watcher.Synced(group, id.GroupKind) })
	if _, found := f.watcher.Fingerprint(group, id); found {
		t.Error("what was seen before counts although nobody looks")
	}
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "a"}}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"data":{"color":"red"}}`))
	if err := admin.Patch(t.Context(), o, patch, client.FieldOwner("someone")); err != nil {
		t.Fatal(err)
	}

	if err := admin.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return f.watcher.Synced(group, id.GroupKind) })
	if s := f.next(t); s.Type != drift.Changed || s.Object.ID != id {
		t.Errorf("got %+v, want what happened meanwhile", s)
	}
}
