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
func (s state) envFile() string   { return filepath.Join(s.dir, "env") }
func (s state) logFile() string   { return filepath.Join(s.dir, "up.log") }

// pid is the running server's, or 0. The server has the file locked as long as it runs: what it left behind when it was
// killed names nobody, or a stranger.
func (s state) pid() int {
	file, err := os.Open(s.pidFile())
	if err != nil {
		return 0
	}
	defer file.Close()
	if syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return 0
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
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
	exited, err := s.launch(ctx, log)
	if err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	return s.follow(ctx, exited)
}

// lockDescriptor is where the server finds its pid file open, and locked.
const lockDescriptor = 3

// launch starts Serve, and hands it the lock on the pid file.
func (s state) launch(ctx context.Context, log *os.File) (exited <-chan error, err error) {
	lock, err := os.Create(s.pidFile())
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the server has its own descriptor then
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("lock %s: %w", s.pidFile(), err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	server := exec.CommandContext(context.WithoutCancel(ctx), self, "serve") // it outlives this process
	server.Dir, server.Stdout, server.Stderr = s.root, log, log
	server.ExtraFiles = []*os.File{lock}
	server.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := server.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	_, err = lock.WriteString(strconv.Itoa(server.Process.Pid))
	return ended, err
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
	syscall.CloseOnExec(lockDescriptor) // the lock ends with this process, whatever it starts
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
	if err := os.WriteFile(s.envFile(), []byte(environment(w, fleet.URL)), 0o600); err != nil {
		return err
	}
	ready := s.readyFile() + ".new"
	if err := os.WriteFile(ready, []byte(s.welcome(w, fleet.URL)), 0o600); err != nil {
		return err
	}
	if err := os.Rename(ready, s.readyFile()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// environment is what a shell needs to talk to the stack.
func environment(w *world.World, fleet string) string {
	return fmt.Sprintf("export KUBECONFIG='%s'\nexport PATH='%s':\"$PATH\"\nexport FLEET='%s'\nexport SINK='%s'\n",
		w.Cluster.Kubeconfig(), w.Cluster.Bin(), fleet, w.Sink.URL())
}

func (s state) welcome(w *world.World, fleet string) string {
	return fmt.Sprintf(`
Sluice is up. In your shell:

  source %s

for kubectl and helm, $FLEET and $SINK:

  $FLEET       %s   (an empty Git repository: clone it, commit, push)
  $SINK        %s   (plays Slack and PagerDuty; /deliveries shows what arrived)
  NATS         nats://%s
  logs         %s

make down stops it.
`, s.envFile(), fleet, w.Sink.URL(), w.Stack.Address("nats", 4222), w.Stack.Logs())
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
