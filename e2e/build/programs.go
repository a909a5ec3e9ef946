package build

import (
	"context"
	"fmt"
	"strings"
)

// program is one binary of the control plane and the package it is built from.
type program struct {
	name, pkg string
}

// programs lists all binaries that ControlPlane returns the folder of.
func programs() []program {
	return []program{
		{"etcd", "./etcd"},
		{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
		{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
		{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
		{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"},
		{"helm", "helm.sh/helm/v3/cmd/helm"},
		{"kwok", "sigs.k8s.io/kwok/cmd/kwok"},
		{"nats-server", "github.com/nats-io/nats-server/v2"},
	}
}

func names(programs []program) (out []string) {
	for _, p := range programs {
		out = append(out, p.name)
	}
	return out
}

// controlPlane is the target that builds these programs.
func controlPlane(source, folder string, programs []program) target {
	t := target{
		name:    "control plane",
		tool:    tool{dir: source, env: []string{"GOWORK=off"}}, // the module is outside go.work
		folder:  folder,
		flags:   append([]string{"-buildvcs=false"}, compilerFlags()...),
		nothing: work{modules: 110, packages: 1840},
	}
	for _, p := range programs {
		t.packages = append(t.packages, p.pkg)
	}
	return t
}

// compilerFlags are Go's own for all that the controllers compile too, so that
// it is compiled once (-trimpath would do it twice). The rest is 1,000 packages
// of Kubernetes that nobody debugs here: without inlining and debug information
// they compile in half the time. The API server's encoders, its storage and all
// libraries are outside them, and as fast as ever.
func compilerFlags() []string { return []string{"-gcflags=k8s.io/kubernetes/...=-l -dwarf=false"} }

// stamped has the target's programs carry the versions that release builds carry.
func (t target) stamped(ctx context.Context) (target, error) {
	flags, err := linkerFlags(ctx, t.tool)
	t.flags = append(t.flags, "-ldflags", flags)
	return t, err
}

// linkerFlags stamps the versions that release builds carry. Without them the
// API server calls itself v0.0.0-master and Helm refuses charts with a kubeVersion.
func linkerFlags(ctx context.Context, source tool) (string, error) {
	out, err := source.run(ctx, nobody, "list", "-m", "-f", "{{.Path}} {{.Version}}", "k8s.io/kubernetes", "helm.sh/helm/v3", "sigs.k8s.io/kwok")
	if err != nil {
		return "", fmt.Errorf("read the pinned versions: %w", err)
	}
	versions := map[string]string{}
	for line := range strings.Lines(out) {
		module, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		versions[module] = version
	}
	kubernetes := versions["k8s.io/kubernetes"]
	number := strings.SplitN(strings.TrimPrefix(kubernetes, "v"), ".", 3)
	if len(number) != 3 {
		return "", fmt.Errorf("read the pinned versions: k8s.io/kubernetes %q is not a version", kubernetes)
	}
	const component, chart = "k8s.io/component-base/version.", "helm.sh/helm/v3/pkg/chartutil."
	set := []string{
		component + "gitVersion=" + kubernetes,
		component + "gitMajor=" + number[0],
		component + "gitMinor=" + number[1],
		component + "gitTreeState=clean",
		chart + "k8sVersionMajor=" + number[0],
		chart + "k8sVersionMinor=" + number[1],
		"helm.sh/helm/v3/internal/version.version=" + versions["helm.sh/helm/v3"],
		"sigs.k8s.io/kwok/pkg/consts.Version=" + versions["sigs.k8s.io/kwok"],
	}
	return "-s -w -X " + strings.Join(set, " -X "), nil
}
