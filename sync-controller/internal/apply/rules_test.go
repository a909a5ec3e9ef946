package apply

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestDriftDetectionDisabled(t *testing.T) {
	const kustomize, helm = "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"
	plain := &unstructured.Unstructured{Object: map[string]any{}}
	asking := plain.DeepCopy()
	asking.SetAnnotations(map[string]string{helm + "/driftDetection": "Disabled"})
	labelled := plain.DeepCopy()
	labelled.SetLabels(map[string]string{helm + "/driftDetection": "disabled"})
	for name, c := range map[string]struct {
		reason        string
		rules         rules
		desired, live *unstructured.Unstructured
		want          bool
	}{
		"desired":       {"the chart says so", rules{helm, true}, asking, plain, true},
		"live":          {"somebody has said so in the cluster", rules{helm, true}, plain, asking, true},
		"label":         {"a label is as good", rules{helm, true}, labelled, plain, true},
		"gone":          {"an object that was deleted stays deleted, as in Flux", rules{helm, true}, asking, nil, true},
		"upgrade":       {"a release applies all of its objects", rules{helm, false}, asking, plain, false},
		"kustomization": {"the rule is one of releases", rules{kustomize, true}, asking, plain, false},
		"no word":       {"nobody asked", rules{helm, true}, plain, plain, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.rules.leaveAlone(c.desired, c.live); got != c.want {
				t.Errorf("%s: got %v", c.reason, got)
			}
		})
	}
}
