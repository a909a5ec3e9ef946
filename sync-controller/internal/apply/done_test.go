package apply_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// An object that has come to its end is not made again when it is gone; as long as it is there it is applied as any other.
func TestClusterWhatIsDone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const one, two = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: NS}\ndata: {a: b}\n",
		"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two, namespace: NS}\ndata: {a: b}\n"
	f.mustApply(t, two)
	done := apply.Options{Done: func(inventory.ID) bool { return true }}
	lines, err := f.apply(t, one+two, done)
	want := []string{"ConfigMap/" + f.namespace + "/one finished", "ConfigMap/" + f.namespace + "/two unchanged"}
	if diff := cmp.Diff(want, lines); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := f.get(t, "v1", "ConfigMap", "one"); !apierrors.IsNotFound(err) {
		t.Errorf("got %v, want that nothing was made", err)
	}
}
