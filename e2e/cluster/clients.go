package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Kubectl runs the real kubectl as administrator and returns its stdout. The
// error carries stderr.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.tool(ctx, "kubectl", "", args)
}

// KubectlInput is Kubectl with stdin, as in `kubectl apply -f -`.
func (c *Cluster) KubectlInput(ctx context.Context, stdin string, args ...string) (string, error) {
	return c.tool(ctx, "kubectl", stdin, args)
}

// Helm runs the real Helm CLI as administrator and returns its stdout. The
// error carries stderr.
func (c *Cluster) Helm(ctx context.Context, args ...string) (string, error) {
	return c.tool(ctx, "helm", "", args)
}

// tool runs a client with a home folder inside the cluster's, so that neither
// the user's settings are read nor their caches written.
func (c *Cluster) tool(ctx context.Context, name, stdin string, args []string) (string, error) {
	home := filepath.Join(c.layout.dir, "home")
	cmd := exec.CommandContext(ctx, filepath.Join(c.layout.bin, name), args...)
	cmd.Env = []string{"HOME=" + home, "KUBECONFIG=" + c.Kubeconfig(), "PATH=" + os.Getenv("PATH")}
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
