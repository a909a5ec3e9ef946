package cluster

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

// stages are the documents by which kwok plays kubelets; see stages/README.md.
//
//go:embed stages/*.yaml
var stages embed.FS

// Nodes are the names of the simulated nodes.
func Nodes() []string { return []string{"node-1", "node-2"} }

// writeStages joins all stages into the one file that kwok takes.
func writeStages(path string) error {
	var all strings.Builder
	err := fs.WalkDir(stages, "stages", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := stages.ReadFile(name)
		if err != nil {
			return err
		}
		all.WriteString("---\n")
		all.Write(data)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read stages: %w", err)
	}
	return os.WriteFile(path, []byte(all.String()), 0o644)
}

// startNodes registers the nodes and waits until pods can run on them: the
// nodes are ready and untainted, and the default ServiceAccount exists.
func (c *Cluster) startNodes(ctx context.Context) error {
	begin := time.Now()
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	for _, name := range Nodes() {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
		}}}
		if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("register node %s: %w", name, err)
		}
	}
	var last error
	err = wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		last = schedulable(ctx, client)
		return last == nil, c.kwokFailure()
	})
	if err != nil {
		return fmt.Errorf("wait for nodes: %w (%w)", err, last)
	}
	c.out.step(strings.Join(Nodes(), " and "), begin)
	return nil
}

// kwokFailure says why no node will ever be ready, nil while there is hope.
func (c *Cluster) kwokFailure() error {
	p := c.Process(Kwok)
	if p == nil {
		return nil // it is about to start
	}
	select {
	case <-p.Done():
		return fmt.Errorf("kwok exited: %w%s", exitReason(p.Err()), logTail(p.Spec().Log))
	default:
		return nil
	}
}

// schedulable says what still keeps pods from running, nil when nothing does.
func schedulable(ctx context.Context, client kubernetes.Interface) error {
	for _, name := range Nodes() {
		node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !nodeReady(node) || len(node.Spec.Taints) > 0 {
			return fmt.Errorf("node %s is not ready or still tainted", name)
		}
	}
	_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return errors.New("namespace default has no ServiceAccount yet")
	}
	return err
}

func nodeReady(node *corev1.Node) bool {
	for _, cond := range node.Status.Conditions {
		if cond.Type == corev1.NodeReady {
			return cond.Status == corev1.ConditionTrue
		}
	}
	return false
}
