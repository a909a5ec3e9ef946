package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/sluice-gitops/sluice/e2e/cluster"
)

// shell is a Spec that runs a script.
func shell(t *testing.T, script string) cluster.Spec {
	t.Helper()
	path, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	return cluster.Spec{Name: "script", Path: path, Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), "log")}
}

// logged is ready when the log holds text.
func logged(path, text string) func(context.Context) error {
	return func(context.Context) error {
		data, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(data), text) {
			err = fmt.Errorf("no %q in %s yet", text, path)
		}
		return err
	}
}

func begin(t *testing.T, spec cluster.Spec) *cluster.Process {
	t.Helper()
	p, err := cluster.StartProcess(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func gone(t *testing.T, pid int) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid), nil
	})
	if err != nil {
		t.Errorf("process %d is still there", pid)
	}
}

// zombie says whether a process is dead and waits for whoever inherited it.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestStartProcessWaitsUntilReady(t *testing.T) {
	spec := shell(t, "echo $WORD; exec sleep 100")
	spec.Env = []string{"WORD=hello", "PATH=" + os.Getenv("PATH")}
	spec.Ready = logged(spec.Log, "hello")
	p := begin(t, spec)
	if err := p.Err(); err != nil {
		t.Errorf("a running process has an error: %v", err)
	}
	p.Kill()
	<-p.Done()
	if p.Err() == nil {
		t.Error("a killed process has no error")
	}
	gone(t, p.PID())
}

func TestStartProcessFailures(t *testing.T) {
	never := func(context.Context) error { return errors.New("not yet") }
	tests := map[string]struct {
		reason  string
		script  string
		timeout time.Duration
		says    []string
	}{
		"exits": {"the log's end explains an early exit", "echo out of coffee; exit 3", time.Minute, []string{"exit status 3", "out of coffee"}},
		"hangs": {"a deadline says what was missing", "exec sleep 100", 30 * time.Millisecond, []string{"not yet", "deadline"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			spec := shell(t, test.script)
			spec.Ready = never
			ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
			defer cancel()
			_, err := cluster.StartProcess(ctx, spec)
			for _, text := range test.says {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%s: no %q in %v", test.reason, text, err)
				}
			}
		})
	}
	if _, err := cluster.StartProcess(t.Context(), cluster.Spec{Name: "nothing", Path: "/does/not/exist"}); err == nil {
		t.Error("a program that does not exist started")
	}
}

func TestStopLetsAProcessLeave(t *testing.T) {
	spec := shell(t, `trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done`)
	spec.Ready = logged(spec.Log, "up")
	p := begin(t, spec)
	p.Stop()
	p.Stop() // nothing left to do
	if err := p.Err(); err != nil {
		t.Errorf("it left by itself, and the error is %v", err)
	}
	if err := logged(spec.Log, "bye")(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRestartIsANewIncarnation(t *testing.T) {
	spec := shell(t, `echo up $$; exec sleep 100`)
	spec.Ready = logged(spec.Log, "up")
	p := begin(t, spec)
	old, done := p.PID(), p.Done()
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-done
	select {
	case <-p.Done():
		t.Error("the new incarnation is gone")
	default:
	}
	if p.PID() == old {
		t.Error("the process has the same pid after a restart")
	}
	gone(t, old)
}

func TestLaunchDoesNotWait(t *testing.T) {
	spec := shell(t, `echo up; exec sleep 100`)
	spec.Ready = logged(spec.Log, "up")
	p := begin(t, spec)
	if err := p.Launch(t.Context()); err == nil {
		t.Error("a process that runs was launched again")
	}
	p.Kill()
	if err := p.Launch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Await(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestChildrenEndWithTheProcess(t *testing.T) {
	spec := shell(t, `sleep 100 & echo child=$!; wait`)
	spec.Ready = logged(spec.Log, "child=")
	p := begin(t, spec)
	var child int
	data, err := os.ReadFile(spec.Log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(data), "child=%d", &child); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	gone(t, child)
}

func TestHTTPReady(t *testing.T) {
	var healthy atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !healthy.Load() {
			http.Error(w, "still loading", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	ready := cluster.HTTPReady(nil, server.URL)
	if err := ready(t.Context()); err == nil || !strings.Contains(err.Error(), "still loading") {
		t.Errorf("got %v, want the server's words", err)
	}
	healthy.Store(true)
	if err := ready(t.Context()); err != nil {
		t.Error(err)
	}
	if err := cluster.TCPReady(server.Listener.Addr().String())(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFreePort(t *testing.T) {
	port, err := cluster.FreePort()
	if err != nil || port <= 0 {
		t.Fatalf("got %d, %v", port, err)
	}
	if err := cluster.TCPReady(fmt.Sprintf("127.0.0.1:%d", port))(t.Context()); err == nil {
		t.Error("something listens on a free port")
	}
}
