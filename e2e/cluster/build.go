package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// program is one binary of the control plane and the package it is built from.
type program struct {
	name, pkg string
}

// programs lists all binaries in build order: those that envtest needs first.
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

// build compiles p statically and without symbols. Its flags are those of make
// build, so that what both need is compiled once (-trimpath would do it twice).
func (p program) build(ctx context.Context, source, dir, ldflags string) error {
	unfinished := filepath.Join(dir, "."+p.name+".unfinished")
	defer func() { _ = os.Remove(unfinished) }() // gone already after a success
	if _, err := goCommand(ctx, source, "build", "-buildvcs=false",
		"-ldflags", ldflags, "-o", unfinished, p.pkg); err != nil {
		return err
	}
	return os.Rename(unfinished, filepath.Join(dir, p.name))
}

// linkerFlags stamps the versions that release builds carry. Without them the
// API server calls itself v0.0.0-master and Helm refuses charts with a kubeVersion.
func linkerFlags(ctx context.Context, source string) (string, error) {
	versions := map[string]string{"k8s.io/kubernetes": "", "helm.sh/helm/v3": "", "sigs.k8s.io/kwok": ""}
	for module := range versions {
		out, err := goCommand(ctx, source, "list", "-m", "-f", "{{.Version}}", module)
		if err != nil {
			return "", fmt.Errorf("read pinned version of %s: %w", module, err)
		}
		versions[module] = strings.TrimSpace(out)
	}
	kubernetes := versions["k8s.io/kubernetes"]
	number := strings.SplitN(strings.TrimPrefix(kubernetes, "v"), ".", 3)
	if len(number) != 3 {
		return "", fmt.Errorf("read pinned version of k8s.io/kubernetes: %q is not a version", kubernetes)
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

// goCommand runs the Go tool in source, which is outside go.work.
func goCommand(ctx context.Context, source string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, lastLines([]byte(stderr.String()), 20))
	}
	return stdout.String(), nil
}
