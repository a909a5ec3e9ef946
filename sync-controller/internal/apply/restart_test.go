package apply_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestClusterRestartIsNoEdit is about kubectl rollout restart: taken out again, it would restart the pods a second time.
func TestClusterRestartIsNoEdit(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ reason, yaml, annotations string }{
		"template without annotations": {"the annotations are the restart's own", web, ""},
		"template with annotations": {
			"the restart adds one to ours",
			strings.Replace(web, "metadata: {labels: {app: web}}", "metadata: {labels: {app: web}, annotations: {note: ours}}", 1), `"note":"ours",`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.mustApply(t, tc.yaml)
			f.edit(t, tc.yaml, "kubectl-rollout", `[{"op":"add","path":"/spec/template/metadata/annotations","value":{`+
				tc.annotations+`"kubectl.kubernetes.io/restartedAt":"2026-11-28T10:00:00Z"}}]`)
			f.edit(t, tc.yaml, "kubectl-edit", `[{"op":"add","path":"/spec/paused","value":true},{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"other"}]`)
			f.mustApply(t, tc.yaml)
			live := f.mustGet(t, "apps/v1", "Deployment", "web")
			at, _, _ := unstructured.NestedString(live.Object, "spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
			if at == "" {
				t.Errorf("%s: the restart is undone, which restarts again", tc.reason)
			}
			if _, paused, _ := unstructured.NestedBool(live.Object, "spec", "paused"); paused {
				t.Errorf("%s: an edit by kubectl stays", tc.reason)
			}
			if lines := f.mustApply(t, tc.yaml); !strings.HasSuffix(lines[0], " unchanged") {
				t.Errorf("%s: %v, though nothing is left to do", tc.reason, lines)
			}
		})
	}
}
