package apply_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestClusterAggregatedRulesAreTheClusters is about roles whose rules a controller of the cluster fills in: what a manifest
// says of them is overwritten, and would take the rights away until then.
func TestClusterAggregatedRulesAreTheClusters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const role = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NS-all, labels: {version: "1"}}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {part: "NS"}}]}
rules: []
`
	f.mustApply(t, role)
	filled := f.parse(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NS-all}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
`)[0].Object
	err := f.admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(filled), client.ForceOwnership, client.FieldOwner("clusterrole-aggregation-controller"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := f.mustApply(t, role); !strings.HasSuffix(lines[0], " unchanged") {
		t.Errorf("%v, though nothing of ours changed", lines)
	}
	if lines := f.mustApply(t, strings.Replace(role, `"1"`, `"2"`, 1)); !strings.HasSuffix(lines[0], " configured") {
		t.Errorf("%v, though a label changed", lines)
	}
	live := &unstructured.Unstructured{}
	live.SetAPIVersion("rbac.authorization.k8s.io/v1")
	live.SetKind("ClusterRole")
	if err := f.admin.Get(t.Context(), client.ObjectKey{Name: f.namespace + "-all"}, live); err != nil {
		t.Fatal(err)
	}
	if rules, _, _ := unstructured.NestedSlice(live.Object, "rules"); len(rules) != 1 {
		t.Errorf("the rules are %v: what the cluster filled in is lost", rules)
	}
}
