package cluster_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-gitops/sluice/e2e/build"
	"github.com/sluice-gitops/sluice/e2e/cluster"
)

// testWriter sends progress to the test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

const workloads = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: good}
spec:
  replicas: 2
  selector: {matchLabels: {app: good}}
  template:
    metadata: {labels: {app: good}}
    spec: {containers: [{name: app, image: example.com/app:1}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: slow}
spec:
  selector: {matchLabels: {app: slow}}
  template:
    metadata: {labels: {app: slow}, annotations: {e2e.sluice.dev/ready-after: 1s}}
    spec: {containers: [{name: app, image: example.com/app:1}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bad}
spec:
  progressDeadlineSeconds: 1
  selector: {matchLabels: {app: bad}}
  template:
    metadata: {labels: {app: bad}}
    spec: {containers: [{name: app, image: "example.com/app:bad"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: crashing}
spec:
  selector: {matchLabels: {app: crashing}}
  template:
    metadata: {labels: {app: crashing}, annotations: {e2e.sluice.dev/pod: crash}}
    spec: {containers: [{name: app, image: example.com/app:1}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: job, image: example.com/job:1}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: broken}
spec:
  backoffLimit: 0
  template:
    metadata: {labels: {e2e.sluice.dev/pod: crash}}
    spec: {restartPolicy: Never, containers: [{name: job, image: example.com/job:1}]}
`

// TestControlPlane starts everything, runs workloads of every fate, kills and
// restarts the API server under them, and sees nothing left when its context ends.
func TestControlPlane(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	bin, err := build.ControlPlane(ctx, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	lifetime, end := context.WithCancel(ctx)
	defer end()
	c, err := cluster.Start(lifetime, cluster.Options{Dir: t.TempDir(), Bin: bin, Audit: true, Out: testWriter{t}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	client := kubernetes.NewForConfigOrDie(c.Config())

	if _, err := c.KubectlInput(ctx, workloads, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	eventually(ctx, t, client, deployment("good", appsv1.DeploymentAvailable, "MinimumReplicasAvailable"))
	eventually(ctx, t, client, deployment("slow", appsv1.DeploymentAvailable, "MinimumReplicasUnavailable"))
	eventually(ctx, t, client, deployment("slow", appsv1.DeploymentAvailable, "MinimumReplicasAvailable"))
	eventually(ctx, t, client, deployment("bad", appsv1.DeploymentProgressing, "ProgressDeadlineExceeded"))
	eventually(ctx, t, client, podWaits("crashing", "CrashLoopBackOff"))
	eventually(ctx, t, client, podWaits("bad", "ErrImagePull"))
	eventually(ctx, t, client, job("once", batchv1.JobComplete))
	eventually(ctx, t, client, job("broken", batchv1.JobFailed))

	server := c.Process(cluster.APIServer)
	server.Kill()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kubectl(ctx, "scale", "deployment/good", "--replicas=3"); err != nil {
		t.Fatal(err)
	}
	eventually(ctx, t, client, replicas("good", 3))
	audit, err := c.Audit()
	if err != nil {
		t.Fatal(err)
	}
	scaled := func(e cluster.AuditEntry) bool {
		return e.User == "admin" && e.Verb == "patch" && e.Resource == "deployments" && e.Subresource == "scale" && e.Name == "good" && e.Code == 200
	}
	if !slices.ContainsFunc(audit, scaled) {
		t.Errorf("kubectl scale is not among %d audited requests", len(audit))
	}
	if slices.ContainsFunc(audit, func(e cluster.AuditEntry) bool { return e.User == "system:kwok" }) {
		t.Error("the control plane's own requests are in the audit log")
	}
	if out, err := c.Helm(ctx, "version", "--template", "{{.Version}}"); err != nil || !strings.HasPrefix(out, "v3.") {
		t.Errorf("helm version: %q, %v", out, err)
	}

	pids := map[string]int{}
	for _, name := range []string{cluster.Etcd, cluster.APIServer, cluster.ControllerManager, cluster.Scheduler, cluster.Kwok} {
		pids[name] = c.Process(name).PID()
	}
	begin := time.Now()
	end() // as Ctrl-C does
	<-c.Done()
	t.Logf("stopped in %.1fs", time.Since(begin).Seconds())
	for name, pid := range pids {
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			t.Errorf("%s (pid %d) is still there: %v", name, pid, err)
		}
	}
}

// TestFailedStartLeavesNothing gives Start an etcd that never becomes ready.
func TestFailedStartLeavesNothing(t *testing.T) {
	bin, dir := t.TempDir(), t.TempDir()
	pidFile := filepath.Join(t.TempDir(), "pid")
	script := fmt.Sprintf("#!/bin/sh\necho no luck\necho $$ >%s\nexec sleep 100\n", pidFile)
	if err := os.WriteFile(filepath.Join(bin, cluster.Etcd), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := cluster.Start(ctx, cluster.Options{Dir: dir, Bin: bin})
	if err == nil || !strings.Contains(err.Error(), "start etcd") || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("the error does not name etcd and its log: %v", err)
	}
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
}

// observation reports what is still missing, nil when it is there.
type observation func(context.Context, kubernetes.Interface) error

func eventually(ctx context.Context, t *testing.T, client kubernetes.Interface, observe observation) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		last = observe(ctx, client)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%v: %v", err, last)
	}
}

func deployment(name string, kind appsv1.DeploymentConditionType, reason string) observation {
	return func(ctx context.Context, client kubernetes.Interface) error {
		d, err := client.AppsV1().Deployments("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, cond := range d.Status.Conditions {
			if cond.Type == kind && cond.Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("deployment %s has no condition %s with reason %s: %+v", name, kind, reason, d.Status.Conditions)
	}
}

func replicas(name string, want int32) observation {
	return func(ctx context.Context, client kubernetes.Interface) error {
		d, err := client.AppsV1().Deployments("default").Get(ctx, name, metav1.GetOptions{})
		if err == nil && d.Status.AvailableReplicas != want {
			err = fmt.Errorf("deployment %s has %d replicas available, want %d", name, d.Status.AvailableReplicas, want)
		}
		return err
	}
}

func job(name string, kind batchv1.JobConditionType) observation {
	return func(ctx context.Context, client kubernetes.Interface) error {
		j, err := client.BatchV1().Jobs("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, cond := range j.Status.Conditions {
			if cond.Type == kind && cond.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("job %s is not %s: %+v", name, kind, j.Status)
	}
}

func podWaits(app, reason string) observation {
	return func(ctx context.Context, client kubernetes.Interface) error {
		pods, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
		if err != nil {
			return err
		}
		for _, pod := range pods.Items {
			for _, status := range pod.Status.ContainerStatuses {
				if w := status.State.Waiting; w != nil && w.Reason == reason {
					return nil
				}
			}
		}
		return fmt.Errorf("no pod of %s waits with %s", app, reason)
	}
}
