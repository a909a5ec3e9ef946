package apply_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
)

// TestClusterManyObjects holds a set that is larger than any limit on the way, and says what it costs.
func TestClusterManyObjects(t *testing.T) {
	t.Parallel()
	const n = 60
	f := newFixture(t)
	var yaml strings.Builder
	for i := range n {
		fmt.Fprintf(&yaml, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c-%d, namespace: NS}\ndata: {k: v}\n---\n", i)
	}
	set := f.set(t, yaml.String())
	for _, step := range []struct {
		action   apply.Action
		requests int
	}{{apply.Created, 2 * n}, {apply.Unchanged, 2 * n}} {
		changes, err := f.Apply(t.Context(), set, apply.Options{})
		if err != nil || changes.Count(step.action) != n {
			t.Fatalf("got %d %s and error %v, want %d", changes.Count(step.action), step.action, err, n)
		}
		total := 0
		for _, count := range f.requests.take() {
			total += count
		}
		if total != step.requests {
			t.Errorf("%d objects %s cost %d requests, want %d", n, step.action, total, step.requests)
		}
	}
}
