package apply_test

import (
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
)

// TestClusterRefusalsSayWhatToDo is about refusals whose own words are a riddle.
func TestClusterRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	const stateful = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: a, namespace: NS}
spec:
  serviceName: a
  selector: {matchLabels: {app: a}}
  template: {metadata: {labels: {app: a}}, spec: {containers: [{name: main, image: a}]}}
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]
`
	number := "apiVersion: v1\nkind: KIND\nmetadata: {name: a, namespace: NS}\ndata: {port: 8080}\n"
	for name, tc := range map[string]struct{ reason, first, then, want string }{
		"number":       {"the API server shows a Go value", "", strings.Replace(number, "KIND", "ConfigMap", 1), ".data.port: expected string, got 8080: put it in quotes"},
		"empty":        {"there is no value to show", "", strings.Replace(stateful, "image: a", "image: a, env: ''", 1), ".env: expected list, got an empty value"},
		"fixed for it": {"StatefulSets call it forbidden", stateful, strings.Replace(stateful, "1Gi", "2Gi", 1), "annotate it with kustomize.toolkit.fluxcd.io/force: enabled"},
		"in a Secret":  {"its values are not said", "", strings.Replace(number, "KIND", "Secret", 1), "Secret/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			if tc.first != "" {
				f.mustApply(t, tc.first)
			}
			_, err := f.apply(t, tc.then, apply.Options{})
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "&{") || strings.Contains(err.Error(), "&value") {
				t.Errorf("%s: got %v, want %q", tc.reason, err, tc.want)
			}
			if err != nil && tc.want == "Secret/" && strings.Contains(err.Error(), "8080") {
				t.Errorf("%s: %v", tc.reason, err)
			}
		})
	}
}
