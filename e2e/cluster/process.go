package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// stopGrace is how long a process may take to leave after SIGTERM.
const stopGrace = 10 * time.Second

// readyInterval is the pause between two questions to Spec.Ready.
const readyInterval = 20 * time.Millisecond

// Spec says what to run and how to know that it is up.
type Spec struct {
	// Name is used in messages.
	Name string
	// Path is the program; it is not looked up in PATH.
	Path string
	Args []string
	// Env is the whole environment; nil means the environment of this process.
	Env []string
	// Dir is the working directory; empty means that of this process.
	Dir string
	// Log receives stdout and stderr. It is appended to, so that a restart
	// keeps what was there. Empty means that output is discarded.
	Log string
	// Ready is asked again and again until it returns nil. A nil Ready means
	// that the process is up as soon as it runs.
	Ready func(ctx context.Context) error
}

// Process is a child process that can be killed, stopped and started again.
// All of its own children belong to it: they end when it ends. If this process
// dies, even by SIGKILL, the child dies too (on Linux). Safe for concurrent use.
type Process struct {
	spec Spec

	mu  sync.Mutex // one of start, stop and restart at a time
	run *run       // the current or last incarnation, guarded by mu
}

// run is one incarnation of a process. err is set before done is closed.
type run struct {
	pid  int
	done chan struct{}
	err  error
}

// StartProcess starts spec and waits until it is ready. ctx bounds the waiting
// only: a process that became ready lives until Stop or Kill. If it exits or
// ctx ends first, the process is gone when StartProcess returns and the error
// carries the end of its log.
func StartProcess(ctx context.Context, spec Spec) (*Process, error) {
	p := &Process{spec: spec}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Spec returns what the process was started with.
func (p *Process) Spec() Spec { return p.spec }

// PID is the process id of the current or last incarnation.
func (p *Process) PID() int { return p.current().pid }

// Done is closed when the current incarnation has exited. After Restart ask for
// a new channel.
func (p *Process) Done() <-chan struct{} { return p.current().done }

// Err says how the last incarnation ended: nil while it runs and after exit 0,
// otherwise what exec.Cmd.Wait returned.
func (p *Process) Err() error {
	r := p.current()
	select {
	case <-r.done:
		return r.err
	default:
		return nil
	}
}

// Kill sends SIGKILL to the process and its children and waits until the
// process is gone. Killing a process that is gone does nothing.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run.kill()
}

// Stop sends SIGTERM, waits up to ten seconds, then kills. Stopping a process
// that is gone does nothing.
func (p *Process) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run.stop()
}

// Restart stops the process if it still runs and starts it again with the same
// Spec, waiting as StartProcess does.
func (p *Process) Restart(ctx context.Context) error {
	p.Stop()
	return p.start(ctx)
}

// Launch starts a process that is gone, with the same Spec, and does not wait
// until it is ready: what that takes may come later.
func (p *Process) Launch(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil && p.run.alive() {
		return fmt.Errorf("start %s: it is running already", p.spec.Name)
	}
	r, err := launch(context.WithoutCancel(ctx), p.spec)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.spec.Name, err)
	}
	p.run = r
	return nil
}

// Await waits until a process that was launched is ready, as StartProcess does.
func (p *Process) Await(ctx context.Context) error {
	r := p.current()
	if err := r.waitReady(ctx, p.spec.Ready); err != nil {
		r.kill()
		return fmt.Errorf("start %s: %w%s", p.spec.Name, err, logTail(p.spec.Log))
	}
	return nil
}

func (p *Process) current() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

func (p *Process) start(ctx context.Context) error {
	if err := p.Launch(ctx); err != nil {
		return err
	}
	return p.Await(ctx)
}

// launch starts the program in a process group of its own.
func launch(ctx context.Context, spec Spec) (*run, error) {
	out, err := openLog(spec.Log)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, spec.Path, spec.Args...)
	cmd.Env = spec.Env
	cmd.Dir = spec.Dir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = childAttributes()

	r := &run{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel ties the parent-death signal to the thread that forked, so
		// that thread must live as long as the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = out.Close() // the child has its own descriptor
		if err != nil {
			started <- err
			return
		}
		r.pid = cmd.Process.Pid
		started <- nil
		r.err = cmd.Wait()
		signalGroup(r.pid, syscall.SIGKILL) // its children, if it left any
		close(r.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return r, nil
}

func openLog(path string) (*os.File, error) {
	if path == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("create log folder: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, nil
}

func (r *run) alive() bool {
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

func (r *run) kill() {
	if r.alive() {
		signalGroup(r.pid, syscall.SIGKILL)
		<-r.done
	}
}

func (r *run) stop() {
	if !r.alive() {
		return
	}
	signalGroup(r.pid, syscall.SIGTERM)
	select {
	case <-r.done:
	case <-time.After(stopGrace):
		r.kill()
	}
}

func (r *run) waitReady(ctx context.Context, ready func(context.Context) error) error {
	if ready == nil {
		return nil
	}
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-r.done:
			return fmt.Errorf("it exited before it was ready: %w", exitReason(r.err))
		case <-ctx.Done():
			return fmt.Errorf("not ready (%w): %w", err, ctx.Err())
		case <-ticker.C:
		}
	}
}

func exitReason(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
