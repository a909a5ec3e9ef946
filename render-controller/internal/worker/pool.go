package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Options configures a [Pool]. Command is required; a zero field stands for its default.
type Options struct {
	// Command starts a child: this binary's path and arguments.
	Command []string
	// Folder is what a child may read, with what is below it; empty for no file at all.
	Folder string
	// Confined is told once, by the first child, what it has taken from itself. It may be nil, and must not block.
	Confined func(Confinement)
	// Restarted is told why a child could not do another job. It may be nil, and must not block.
	Restarted func(Cause)
	// Size is how many children work at a time; 4 when zero.
	Size int
	// Idle is how long a child without a job stays; 30 seconds when zero.
	Idle time.Duration
	// Deadline of one job; two minutes when zero.
	Deadline time.Duration
	// MemoryLimit is how many resident bytes a child may hold before it is killed; 1 GiB when zero. Four fifths of it are
	// the child's soft limit.
	MemoryLimit int64
	// Total is how many bytes this process and its children may hold together before the child that holds most is killed.
	// When zero it is 85 % of what the container may hold, or unlimited.
	Total int64
}

const (
	defaultSize        = 4
	defaultIdle        = 30 * time.Second
	defaultDeadline    = 2 * time.Minute
	defaultMemoryLimit = 1 << 30
	watchInterval      = 100 * time.Millisecond
	totalPercent       = 85
)

// Peer is the parent's side of a job. Its methods are called from the goroutine that runs the job.
type Peer interface {
	// Call answers a question of the child. The text of an error reaches the child.
	Call(ctx context.Context, method string, params json.RawMessage) (result any, err error)
	// Part takes a part of the result. An error ends the job.
	Part(part json.RawMessage) error
}

// Pool runs jobs in children, which it starts on demand and lets go when they are idle. It is safe for concurrent use.
type Pool struct {
	options Options
	slots   chan struct{}
	greeted sync.Once
	starter *starter
	memory  *ledger

	mu     sync.Mutex
	idle   []*process
	closed bool
}

// NewPool returns a pool without children.
func NewPool(options Options) *Pool {
	if options.Size <= 0 {
		options.Size = defaultSize
	}
	if options.Idle <= 0 {
		options.Idle = defaultIdle
	}
	if options.Deadline <= 0 {
		options.Deadline = defaultDeadline
	}
	if options.MemoryLimit <= 0 {
		options.MemoryLimit = defaultMemoryLimit
	}
	if options.Total <= 0 {
		options.Total = containerMemory() / 100 * totalPercent
	}
	p := &Pool{options: options, slots: make(chan struct{}, options.Size)}
	p.memory = &ledger{limit: options.MemoryLimit, total: options.Total, relieve: p.dismissAll, held: map[*process]int64{}}
	p.starter = newStarter(func() (*process, error) { return start(&p.options, p.greet) })
	return p
}

// Run does a job in a child, and returns its result. It waits for its turn until ctx ends. The error is a [*LostError]
// when the child was lost on it: crashed, or killed at the deadline or over its memory.
func (p *Pool) Run(ctx context.Context, job any, peer Peer) (json.RawMessage, error) {
	raw, err := json.Marshal(job)
	if err != nil {
		return nil, fmt.Errorf("write job: %w", err)
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	child, err := p.take()
	if err != nil {
		return nil, err
	}
	release := p.watch(ctx, child)
	result, again, err := child.do(ctx, raw, peer)
	release()
	if err != nil || !again || child.killed.Load() != nil {
		child.stop()
		p.restarted(child, err)
		return result, err
	}
	p.give(child)
	return result, nil
}

// restarted tells why a child has to be replaced: as the pool has ended it, or as its job's error says. A job that was called off is
// no reason.
func (p *Pool) restarted(child *process, err error) {
	cause := Retired
	var lost *LostError
	switch killed := child.killed.Load(); {
	case killed != nil:
		cause = killed.cause
	case errors.As(err, &lost):
		cause = Crashed
	case err != nil:
		return
	}
	if p.options.Restarted != nil && cause != calledOff {
		p.options.Restarted(cause)
	}
}

// Workers returns how many children have a job, and how many wait for one.
func (p *Pool) Workers() (busy, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.slots), len(p.idle)
}

// Close ends the idle children, and those that work when their jobs are done.
func (p *Pool) Close() {
	p.mu.Lock()
	if !p.closed {
		p.starter.end()
	}
	p.closed = true
	p.mu.Unlock()
	p.dismissAll()
}

// dismissAll ends the idle children.
func (p *Pool) dismissAll() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, child := range idle {
		child.idle.Stop()
		child.stop()
	}
}

var errClosed = errors.New("the worker pool is closed")

// take returns an idle child, or a new one. An idle child that has left in the meantime, as when the kernel was short of
// memory, is no job's fault, and is passed over.
func (p *Pool) take() (*process, error) {
	for {
		child, err := p.takeIdle()
		if err != nil {
			return nil, err
		}
		if child == nil {
			return p.starter.start()
		}
		child.idle.Stop()
		if !child.ended() {
			return child, nil
		}
		child.stop()
	}
}

// takeIdle returns nil when there is none.
func (p *Pool) takeIdle() (*process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	last := len(p.idle) - 1
	if last < 0 {
		return nil, nil
	}
	child := p.idle[last]
	p.idle = p.idle[:last]
	return child, nil
}

func (p *Pool) greet(inForce Confinement) {
	p.greeted.Do(func() {
		if p.options.Confined != nil {
			p.options.Confined(inForce)
		}
	})
}

func (p *Pool) give(child *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		go child.stop()
		return
	}
	child.idle = time.AfterFunc(p.options.Idle, func() { p.dismiss(child) })
	p.idle = append(p.idle, child)
}

// dismiss ends a child that had nothing to do, unless it has been taken in the meantime.
func (p *Pool) dismiss(child *process) {
	p.mu.Lock()
	for i, candidate := range p.idle {
		if candidate == child {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			p.mu.Unlock()
			child.stop()
			return
		}
	}
	p.mu.Unlock()
}

// watch kills the child at its deadline, when ctx ends, and when it holds too much memory.
func (p *Pool) watch(ctx context.Context, child *process) (release func()) {
	finished := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		deadline := time.NewTimer(p.options.Deadline)
		defer deadline.Stop()
		memory := time.NewTicker(watchInterval)
		defer memory.Stop()
		for {
			select {
			case <-finished:
				return
			case <-ctx.Done():
				child.kill(calledOff, "was stopped")
				return
			case <-deadline.C:
				child.kill(Deadline, fmt.Sprintf("did not end within %s and was stopped", p.options.Deadline))
				return
			case <-memory.C:
				if reason := p.memory.excess(child); reason != "" {
					child.kill(Memory, reason)
					return
				}
			}
		}
	})
	return func() { close(finished); watching.Wait(); p.memory.leave(child) }
}
