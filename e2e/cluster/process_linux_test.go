package cluster_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/sluice-gitops/sluice/e2e/cluster"
)

// TestOrphans runs itself as another process, kills that without warning, and
// looks for what it had started.
func TestOrphans(t *testing.T) {
	if dir := os.Getenv("SLUICE_TEST_PARENT"); dir != "" {
		p := begin(t, cluster.Spec{Name: "sleep", Path: os.Getenv("SLUICE_TEST_SLEEP"), Args: []string{"100"}})
		_, _ = fmt.Fprintf(os.Stderr, "child=%d\n", p.PID())
		<-p.Done()
		return
	}
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOrphans$")
	parent.Env = append(os.Environ(), "SLUICE_TEST_PARENT=yes", "SLUICE_TEST_SLEEP="+sleep)
	stderr, err := parent.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stderr).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Sscanf(line, "child=%d", &child); err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // "signal: killed"
	gone(t, child)
}
