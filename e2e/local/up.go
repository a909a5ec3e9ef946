package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-gitops/sluice/e2e/world"
)

const (
	upTimeout   = 5 * time.Minute
	downTimeout = time.Minute
	pollPause   = 100 * time.Millisecond
)

// state is the folder of what make up keeps running.
type state struct{ root, dir string }

func findState() (state, error) {
	root, err := root()
	return state{root: root, dir: filepath.Join(root, ".run")}, err
}

func (s state) pidFile() string   { return filepath.Join(s.dir, "pid") }
func (s state) readyFile() string { return filepath.Join(s.dir, "ready") }
func (s state) logFile() string   { return filepath.Join(s.dir, "up.log") }

// pid is the running server's, or 0.
func (s state) pid() int {
	text, err := os.ReadFile(s.pidFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || syscall.Kill(pid, 0) != nil {
		return 0
	}
	return pid
}

// Up starts Serve as a process that outlives this one, and returns when it is ready.
func Up(ctx context.Context) error {
	s, err := findState()
	if err != nil {
		return err
	}
	if pid := s.pid(); pid != 0 {
		return fmt.Errorf("it is up already (pid %d): make down stops it", pid)
	}
	if err := errors.Join(os.RemoveAll(s.dir), os.MkdirAll(s.dir, 0o750)); err != nil {
		return err
	}
	log, err := os.Create(s.logFile())
	if err != nil {
		return err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	server := exec.CommandContext(context.WithoutCancel(ctx), self, "serve") // it outlives this process
	server.Dir, server.Stdout, server.Stderr = s.root, log, log
	server.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := server.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	if err := os.WriteFile(s.pidFile(), []byte(strconv.Itoa(server.Process.Pid)), 0o600); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- server.Wait() }()
	return s.follow(ctx, exited)
}

// follow shows the server's progress until it is ready.
func (s state) follow(ctx context.Context, exited <-chan error) error {
	log, err := os.Open(s.logFile())
	if err != nil {
		return err
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	ticker := time.NewTicker(pollPause)
	defer ticker.Stop()
	for {
		if _, err := io.Copy(os.Stdout, log); err != nil {
			return err
		}
		if text, err := os.ReadFile(s.readyFile()); err == nil {
			fmt.Print(string(text))
			return nil
		}
		select {
		case <-ticker.C:
		case err := <-exited:
			_, _ = io.Copy(os.Stdout, log)
			return fmt.Errorf("the stack did not start (%w): see %s", err, s.logFile())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("not up within %s: see %s", upTimeout, s.logFile()), s.kill())
		}
	}
}

// Serve runs the stack in .run/ until it is told to stop.
func Serve(ctx context.Context) error {
	s, err := findState()
	if err != nil {
		return err
	}
	w, err := world.Start(ctx, world.Options{Dir: filepath.Join(s.dir, "world"), Root: s.root, Out: os.Stdout})
	if err != nil {
		return err
	}
	defer w.Stop()
	fleet, err := w.Git.Repo(ctx, "demo/fleet")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "fleet-url"), []byte(fleet.URL+"\n"), 0o600); err != nil {
		return err
	}
	ready := s.readyFile() + ".new"
	if err := os.WriteFile(ready, []byte(welcome(w)), 0o600); err != nil {
		return err
	}
	if err := os.Rename(ready, s.readyFile()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func welcome(w *world.World) string {
	return fmt.Sprintf(`
Sluice is up. In your shell:

  export KUBECONFIG=%s PATH=%s:$PATH

  Git          %s   (an empty repository: clone it, commit, push)
  NATS         nats://%s
  sink         %s   (plays Slack and PagerDuty; /deliveries shows what arrived)
  logs         %s

make down stops it.
`, w.Cluster.Kubeconfig(), w.Cluster.Bin(), w.Git.URL("demo/fleet"), w.Stack.Address("nats", 4222),
		w.Sink.URL(), w.Stack.Logs())
}

// Down stops what Up started, and waits until it is gone.
func Down(_ context.Context) error {
	s, err := findState()
	if err != nil {
		return err
	}
	if s.pid() == 0 {
		fmt.Println("nothing is up")
		return nil
	}
	if err := s.kill(); err != nil {
		return err
	}
	fmt.Println("stopped")
	return os.RemoveAll(s.dir)
}

// kill asks the server to stop; it stops its children first.
func (s state) kill() error {
	pid := s.pid()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop pid %d: %w", pid, err)
	}
	deadline := time.Now().Add(downTimeout)
	ticker := time.NewTicker(pollPause)
	defer ticker.Stop()
	for s.pid() != 0 {
		if time.Now().After(deadline) {
			return fmt.Errorf("pid %d did not stop within %s", pid, downTimeout)
		}
		<-ticker.C
	}
	return nil
}
