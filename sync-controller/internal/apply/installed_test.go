package apply_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
)

// Before anything is recorded it is known whether every kind is there, whatever is remembered of them.
func TestClusterInstalled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Client = f.forgetful(t)
	const map1 = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: NS}\n"
	object := strings.Replace(gadget("v1", 1), "name: one", "name: two", 1)
	gone := "cannot be applied: no kind Gadget in group " + f.namespace + ".example.org/v1: is its CRD installed?"
	check := func(reason, yaml string, want ...string) {
		t.Helper()
		err := f.Installed(t.Context(), f.set(t, yaml))
		var got []string
		var missing *apply.Error
		if errors.As(err, &missing) {
			for _, failure := range missing.Failures {
				got = append(got, failure.Message)
			}
		} else if err != nil {
			t.Errorf("%s: %v", reason, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", reason, diff)
		}
	}
	name := "Gadget/" + f.namespace + "/"
	check("every object of the kind is named", map1+gadget("v1", 1)+object, name+"one "+gone, name+"two "+gone)
	check("the set defines it itself", map1+versioned("gadgets", "v1")+gadget("v1", 1))
	f.mustApply(t, versioned("gadgets", "v1"))
	check("somebody has defined it", gadget("v1", 1))
	definition := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "gadgets." + f.namespace + ".example.org"}}
	definition.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	if err := f.admin.Delete(t.Context(), definition); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return f.Installed(t.Context(), f.set(t, gadget("v1", 1))) != nil })
	check("it is remembered, and gone", gadget("v1", 1), name+"one "+gone)
}
