package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"sync/atomic"
	"time"
)

// process is one child.
type process struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     io.ReadCloser
	frames  *bufio.Reader
	// greet takes what the child says of itself in its first frame; nil when it has.
	greet func(Confinement)
	// killed says why the parent killed it; nil while it did not.
	killed atomic.Pointer[ending]
	// gone is closed when it has ended.
	gone chan struct{}
	idle *time.Timer
}

// start starts a child and tells it what it may reach. It returns before the child has answered.
func start(options *Options, greet func(Confinement)) (*process, error) {
	command := exec.CommandContext(context.Background(), options.Command[0], options.Command[1:]...) //nolint:gosec // this binary; it outlives a job
	command.Env = []string{fmt.Sprintf("GOMEMLIMIT=%d", options.MemoryLimit/5*4)}
	command.SysProcAttr = dieWithParent()
	in, err := command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	keepFilesToOurselves()
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	p := &process{command: command, in: in, out: out, frames: bufio.NewReader(out), greet: greet, gone: make(chan struct{})}
	go func() {
		_, _ = command.Process.Wait()
		close(p.gone)
	}()
	body, err := json.Marshal(setup{Folder: options.Folder})
	if err == nil {
		err = writeFrame(in, kindSetup, body)
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("start worker: %w", err)
	}
	return p, nil
}

// ended says that the child has left by itself.
func (p *process) ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// kill ends the child now. The first reason stands.
func (p *process) kill(cause Cause, reason string) {
	p.killed.CompareAndSwap(nil, &ending{cause, reason})
	_ = p.command.Process.Kill()
}

// stop ends the child and waits for it.
func (p *process) stop() {
	_ = p.in.Close()
	_ = p.command.Process.Kill()
	<-p.gone
	_ = p.out.Close()
}

// do runs one job. It reports whether the child may do another.
func (p *process) do(ctx context.Context, job []byte, peer Peer) (result json.RawMessage, again bool, err error) {
	if err := writeFrame(p.in, kindJob, job); err != nil {
		return nil, false, p.explain(err)
	}
	for {
		k, body, err := p.next()
		if err != nil {
			return nil, false, p.explain(err)
		}
		switch k {
		case kindPart:
			if err := peer.Part(body); err != nil {
				return nil, false, err
			}
		case kindCall:
			if err := p.reply(ctx, body, peer); err != nil {
				return nil, false, p.explain(err)
			}
		case kindDone:
			var end done
			if err := json.Unmarshal(body, &end); err != nil {
				return nil, false, p.explain(err)
			}
			return end.Result, !end.Retire, nil
		default:
			return nil, false, p.explain(fmt.Errorf("%w: kind %q is not for a parent", errFrame, k))
		}
	}
}

// next reads a frame that belongs to a job. Of a child that has not said what it has taken from itself, none does.
func (p *process) next() (kind, []byte, error) {
	k, body, err := readFrame(p.frames)
	if err != nil || p.greet == nil {
		return k, body, err
	}
	var inForce Confinement
	if k != kindHello || json.Unmarshal(body, &inForce) != nil {
		return 0, nil, fmt.Errorf("%w: kind %q is not how a child begins", errFrame, k)
	}
	p.greet(inForce)
	p.greet = nil
	return readFrame(p.frames)
}

func (p *process) reply(ctx context.Context, body []byte, peer Peer) error {
	var question call
	if err := json.Unmarshal(body, &question); err != nil {
		return err
	}
	var reply answer
	result, err := peer.Call(ctx, question.Method, question.Params)
	if err != nil {
		reply.Error = err.Error()
	} else if reply.Result, err = json.Marshal(result); err != nil {
		return err
	}
	raw, err := json.Marshal(reply)
	if err != nil {
		return err
	}
	return writeFrame(p.in, kindAnswer, raw)
}

// explain says how a child was lost.
func (p *process) explain(err error) error {
	if killed := p.killed.Load(); killed != nil {
		return &LostError{Why: killed.reason}
	}
	return &LostError{Why: "ended unexpectedly", Err: err}
}

// Cause is why a child cannot do another job.
type Cause string

// Causes.
const (
	// Crashed: it ended by itself, or answered what is no answer.
	Crashed Cause = "crash"
	// Deadline: its job took too long.
	Deadline Cause = "deadline"
	// Memory: it held too much.
	Memory Cause = "memory"
	// Retired: its job has changed what the next one would build on.
	Retired Cause = "retired"

	// calledOff is nobody's fault: the job's context has ended.
	calledOff Cause = ""
)

// ending is how the parent ended a child, and the reason in words for the user.
type ending struct {
	cause  Cause
	reason string
}

// LostError says that a child did not live to the end of its job.
type LostError struct {
	// Why in words, for the user.
	Why string
	// Err is what was seen of it; may be nil.
	Err error
}

func (e *LostError) Error() string { return "the worker that rendered it " + e.Why }

func (e *LostError) Unwrap() error { return e.Err }
