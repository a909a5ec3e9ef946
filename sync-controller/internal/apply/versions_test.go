package apply_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/kinds"
)

// versioned is a definition of the kind Gadget in the given versions, of which the first is stored.
func versioned(plural string, versions ...string) string {
	var list strings.Builder
	for i, v := range versions {
		fmt.Fprintf(&list, `
  - {name: %s, served: true, storage: %v, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, properties: {
      spec: {type: object, properties: {size: {type: integer}, color: {type: string}}}, status: {type: object, properties: {ready: {type: boolean}}}}}}}`,
			v, i == 0)
	}
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.NS.example.org}
spec:
  group: NS.example.org
  names: {kind: Gadget, plural: %[1]s}
  scope: Namespaced
  versions:%[2]s
`, plural, list.String())
}

func gadget(version string, size int) string {
	return fmt.Sprintf("---\napiVersion: NS.example.org/%s\nkind: Gadget\nmetadata: {name: one, namespace: NS}\nspec: {size: %d}\n", version, size)
}

// The definition loses the version that an object was applied in, and the object moves to another, in one commit or in two.
// Its managedFields still name the lost version, for our fields and for those of others.
func TestClusterAVersionThatIsLostAltogether(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason  string
		commits []string
	}{
		"in one commit": {
			reason:  "the API server may serve the old version for a moment yet",
			commits: []string{versioned("gadgets", "v1") + gadget("v1", 2)},
		},
		"definition first": {
			reason:  "the definition may come from elsewhere, a long time before",
			commits: []string{versioned("gadgets", "v1"), gadget("v1", 2)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.mustApply(t, versioned("gadgets", "v1beta1")+gadget("v1beta1", 1))
			before := f.mustGet(t, f.namespace+".example.org/v1beta1", "Gadget", "one")
			operator := before.DeepCopy()
			patch := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"ready":true}}`))
			if err := f.admin.Status().Patch(t.Context(), operator, patch, client.FieldOwner("operator")); err != nil {
				t.Fatal(err)
			}
			patch = client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"color":"red"}}`))
			if err := f.admin.Patch(t.Context(), operator, patch, client.FieldOwner("someone")); err != nil {
				t.Fatal(err)
			}
			f.mustApply(t, versioned("gadgets", "v1", "v1beta1"))
			f.migrated(t, "gadgets", "v1")
			for _, commit := range c.commits {
				f.mustApply(t, commit)
			}
			after := f.mustGet(t, f.namespace+".example.org/v1", "Gadget", "one")
			want := map[string]any{"size": int64(2), "color": "red"}
			if diff := cmp.Diff(want, after.Object["spec"]); diff != "" || after.GetUID() != before.GetUID() {
				t.Errorf("%s: the object is to be the same one, with what others have set: %s", c.reason, diff)
			}
			owners := map[string]bool{}
			for _, e := range after.GetManagedFields() {
				owners[e.Manager] = true
				if e.APIVersion != f.namespace+".example.org/v1" {
					t.Errorf("%s still has a mark of %s", e.Manager, e.APIVersion)
				}
			}
			if diff := cmp.Diff(map[string]bool{manager: true, "operator": true, "someone": true}, owners); diff != "" {
				t.Errorf("everybody keeps what they own: %s", diff)
			}
			if lines := f.mustApply(t, gadget("v1", 2)); !strings.HasSuffix(lines[0], "unchanged") {
				t.Errorf("got %v, want nothing left to do", lines)
			}
		})
	}
}

// migrated says, as a storage migration does, that no object is stored in another version any more.
func (f *fixture) migrated(t *testing.T, plural, version string) {
	t.Helper()
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": plural + "." + f.namespace + ".example.org"},
	}}
	touch := f.mustGet(t, f.namespace+".example.org/v1", "Gadget", "one")
	touch.SetAnnotations(map[string]string{"migrated": "yes"})
	if err := f.admin.Update(t.Context(), touch, client.FieldOwner("someone")); err != nil {
		t.Fatal(err)
	}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"status":{"storedVersions":[%q]}}`, version))
	if err := f.admin.Status().Patch(t.Context(), definition, patch); err != nil {
		t.Fatal(err)
	}
}

// A definition is deleted, and made again with another plural: the kind is known, but not by that resource.
func TestClusterAKindUnderAnotherPlural(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Client = f.forgetful(t)
	f.mustApply(t, versioned("gadgets", "v1")+gadget("v1", 1))
	definition := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "gadgets." + f.namespace + ".example.org"}}
	definition.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	if err := f.admin.Delete(t.Context(), definition); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		return apierrors.IsNotFound(f.admin.Get(t.Context(), client.ObjectKeyFromObject(definition), definition))
	})
	f.mustApply(t, versioned("gadgetries", "v1"))
	if lines := f.mustApply(t, gadget("v1", 2)); !strings.HasSuffix(lines[0], "created") {
		t.Errorf("got %v, want the object under the new plural", lines)
	}
}

// forgetful is the client that the controller uses.
func (f *fixture) forgetful(t *testing.T) client.Client {
	t.Helper()
	config := cluster(t)
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := kinds.NewMapper(config, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	forgets, _ := mapper.(*kinds.Mapper)
	c, err := kinds.NewClient(forgets, func() (client.Client, error) {
		return client.New(config, client.Options{HTTPClient: httpClient, Mapper: mapper})
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
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
