package inventory_test

import (
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

func entry(t *testing.T, id, version string) inventory.Entry {
	t.Helper()
	parsed, err := inventory.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	return inventory.Entry{ID: parsed, Version: version}
}

func TestParseID(t *testing.T) {
	for name, c := range map[string]struct {
		reason  string
		text    string
		want    inventory.ID
		wantErr bool
	}{
		"workload":       {reason: "all four parts", text: "ns_app_apps_Deployment", want: inventory.ID{Namespace: "ns", Name: "app", GroupKind: schema.GroupKind{Group: "apps", Kind: "Deployment"}}},
		"core":           {reason: "the core group is empty", text: "ns_app__ConfigMap", want: inventory.ID{Namespace: "ns", Name: "app", GroupKind: schema.GroupKind{Kind: "ConfigMap"}}},
		"cluster scoped": {reason: "no namespace", text: "_ns__Namespace", want: inventory.ID{Name: "ns", GroupKind: schema.GroupKind{Kind: "Namespace"}}},
		"colon": {
			reason: "names of RBAC kinds may hold colons", text: "_system__node_rbac.authorization.k8s.io_ClusterRole",
			want: inventory.ID{Name: "system:node", GroupKind: schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}},
		},
		"empty":         {reason: "nothing", wantErr: true},
		"too few parts": {reason: "no kind", text: "ns_app_apps", wantErr: true},
		"no name":       {reason: "an object has a name", text: "ns__apps_Deployment", wantErr: true},
		"no kind":       {reason: "an object has a kind", text: "ns_app_apps_", wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := inventory.ParseID(c.text)
			if (err != nil) != c.wantErr || got != c.want {
				t.Fatalf("%s: got %+v, %v", c.reason, got, err)
			}
			if err == nil && got.String() != c.text {
				t.Errorf("%s: written again it is %s", c.reason, got)
			}
		})
	}
}

func FuzzParseID(f *testing.F) {
	for _, seed := range []string{"ns_app_apps_Deployment", "_system__node_rbac.authorization.k8s.io_ClusterRole", "____", "a_b_c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := inventory.ParseID(text)
		if err != nil {
			return
		}
		if id.Name == "" || id.GroupKind.Kind == "" {
			t.Fatalf("%q gave %+v", text, id)
		}
		again, err := inventory.ParseID(id.String())
		if err == nil && !strings.ContainsAny(id.Name, "_:") && again != id {
			t.Fatalf("%q gave %+v, and written and read again %+v", text, id, again)
		}
	})
}

func TestParseKeepsWhatCanBeRead(t *testing.T) {
	inv, err := inventory.Parse([]kustomizev1.ResourceRef{
		{ID: "ns_a__ConfigMap", Version: "v1"}, {ID: "damaged", Version: "v1"}, {ID: "ns_b_apps_Deployment", Version: "v1"},
	})
	if err == nil || !strings.Contains(err.Error(), `"damaged"`) {
		t.Errorf("got error %v, want one that names the damaged entry", err)
	}
	if want := inventory.New(entry(t, "ns_a__ConfigMap", "v1"), entry(t, "ns_b_apps_Deployment", "v1")); !want.Equal(inv) {
		t.Errorf("got %v, want the entries that can be read", inv)
	}
}

func TestDescribe(t *testing.T) {
	for id, want := range map[string]string{
		"ns_a_apps_Deployment": "Deployment/ns/a",
		"_a__Namespace":        "Namespace/a",
	} {
		if got := inventory.Describe(entry(t, id, "").ID); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSets(t *testing.T) {
	a, b, c := entry(t, "ns_a__ConfigMap", "v1"), entry(t, "ns_b__ConfigMap", "v1"), entry(t, "ns_c_apps_Deployment", "v1")
	newer := inventory.Entry{ID: c.ID, Version: "v2"}
	first, second := inventory.New(a, b, c), inventory.New(b, newer)

	union := inventory.Union(first, second)
	if diff := cmp.Diff([]inventory.Entry{a, b, newer}, union.Entries()); diff != "" {
		t.Errorf("a union has the later version:\n%s", diff)
	}
	if diff := cmp.Diff([]inventory.Entry{a}, inventory.Difference(first, second)); diff != "" {
		t.Errorf("another version is the same object:\n%s", diff)
	}
	if !first.Contains(second) || second.Contains(first) || first.Equal(union) || !first.Has(newer.ID) {
		t.Error("versions matter for Equal, not for Contains and Has")
	}
	want := []kustomizev1.ResourceRef{{ID: "ns_b__ConfigMap", Version: "v1"}, {ID: "ns_c_apps_Deployment", Version: "v2"}}
	if diff := cmp.Diff(want, second.Refs()); diff != "" {
		t.Errorf("references are sorted:\n%s", diff)
	}
	var none inventory.Inventory
	if none.Has(a.ID) || len(none.Refs()) > 0 || !none.Equal(inventory.New()) || len(inventory.Union(none, first)) != 3 {
		t.Error("the nil inventory is empty and can be read")
	}
}

func TestSortForApply(t *testing.T) {
	sorted := []string{
		"_widgets.example.org_apiextensions.k8s.io_CustomResourceDefinition",
		"_ns__Namespace",
		"_reader_rbac.authorization.k8s.io_ClusterRole",
		"ns_robot__ServiceAccount",
		"ns_a__ConfigMap",
		"ns_b__ConfigMap",
		"ns_a__Service",
		"ns_a_apps_Deployment",
		"ns_a_example.org_Widget",
		"ns_a_networking.k8s.io_Ingress",
		"_a_admissionregistration.k8s.io_ValidatingWebhookConfiguration",
	}
	entries := make([]inventory.Entry, len(sorted))
	for i, id := range sorted {
		entries[len(sorted)-1-i] = entry(t, id, "v1")
	}
	inventory.SortForApply(entries)
	for i, e := range entries {
		if e.ID.String() != sorted[i] {
			t.Errorf("place %d has %s, want %s", i, e.ID, sorted[i])
		}
	}
}

func TestOwner(t *testing.T) {
	owner := inventory.Owner{Group: "kustomize.toolkit.fluxcd.io", Namespace: "ns", Name: "apps"}
	labels := owner.Labels()
	if got, found := inventory.OwnerIn(labels, owner.Group); !found || got != owner || !owner.Owns(labels) {
		t.Errorf("got %+v from its own labels", got)
	}
	if _, found := inventory.OwnerIn(labels, "helm.toolkit.fluxcd.io"); found {
		t.Error("labels of one group name no owner in another")
	}
	delete(labels, "kustomize.toolkit.fluxcd.io/namespace")
	if _, found := inventory.OwnerIn(labels, owner.Group); found || owner.Owns(labels) {
		t.Error("one label of two is not enough")
	}
}
