package build

import (
	"slices"
	"strings"
	"testing"
)

// apart lists the modules that controllers and control plane have in different
// versions, each with its reason. All of them together are 40 packages.
func apart() map[string]string {
	return map[string]string{
		"github.com/google/cel-go": "Kubernetes 1.36 decides with 0.26 what an expression means; sync-controller's health expressions need 0.30",
		"k8s.io/cli-runtime":       "kubectl's own; 4 packages, which nothing else is compiled with",
		"k8s.io/kubectl":           "kubectl's own; 8 packages, which nothing else is compiled with",
	}
}

// TestWhatBothNeedIsCompiledOnce holds e2e/controlplane and the workspace to the
// same version of each module that both compile. One that differs is compiled
// twice, and everything that imports it.
func TestWhatBothNeedIsCompiledOnce(t *testing.T) {
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	ours := modules(t, controllers(root))
	theirs := modules(t, controlPlane(root+"/e2e/controlplane", t.TempDir(), programs()))
	both := 0
	for module, version := range theirs {
		if ours[module] == "" {
			continue
		}
		both++
		if reason := apart()[module]; ours[module] != version && reason == "" {
			t.Errorf("%s: the controllers have %s, the control plane %s: give both one version (go get in e2e/controlplane), or give a reason here",
				module, ours[module], version)
		} else if ours[module] == version && reason != "" {
			t.Errorf("%s has one version now: take it off this list", module)
		}
	}
	if both < 50 {
		t.Errorf("only %d modules are in both: were they listed?", both)
	}
}

// modules are those of the target's packages, with their versions.
func modules(t *testing.T, from target) map[string]string {
	t.Helper()
	format := "{{with .Module}}{{.Path}} {{if .Replace}}{{.Replace.Version}}{{else}}{{.Version}}{{end}}{{end}}"
	out, err := from.tool.run(t.Context(), nobody, append([]string{"list", "-deps", "-f", format}, from.packages...)...)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, line := range slices.Compact(slices.Sorted(strings.Lines(out))) {
		module, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		found[module] = version
	}
	return found
}
