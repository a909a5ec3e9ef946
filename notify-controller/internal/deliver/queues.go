package deliver

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/notify-controller/internal/consume"
	"github.com/sluice-gitops/sluice/notify-controller/internal/delivery"
	"github.com/sluice-gitops/sluice/notify-controller/internal/ledger"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

const (
	// sweepInterval is how often the queues are compared with the Providers that exist, besides each change.
	sweepInterval = 30 * time.Second
	// orphanGrace is how long the queue of a deleted Provider stays, for what was routed to it at the last moment.
	orphanGrace = 5 * time.Minute
)

// ListProviders returns every Provider that exists; an error means that nothing is known.
type ListProviders func(ctx context.Context) ([]route.Ref, error)

// Queues runs one durable consumer per Provider. A deleted Provider's consumer is begun anew, so that whatever waits for
// another attempt comes up at once and becomes a dead letter, and is forgotten after a while. Create it with NewQueues.
type Queues struct {
	bus       bus.Bus
	providers ListProviders
	list      *ledger.Queues
	sender    *Sender
	parallel  int
	clock     clock.WithTicker
	log       logr.Logger

	wake    chan struct{}
	running map[types.UID]*runningQueue // Start's alone
	stopped sync.WaitGroup
}

type runningQueue struct {
	provider route.Ref
	stop     context.CancelFunc
	done     chan struct{}
	// orphaned is when the Provider was found gone; zero while it exists.
	orphaned time.Time
}

// NewQueues returns the queues of a sender; parallel is how many notifications go to one Provider at a time.
func NewQueues(b bus.Bus, providers ListProviders, l *ledger.Queues, s *Sender, parallel int, c clock.WithTicker, log logr.Logger) *Queues {
	return &Queues{
		bus: b, providers: providers, list: l, sender: s, parallel: parallel, clock: c, log: log,
		wake: make(chan struct{}, 1), running: map[types.UID]*runningQueue{},
	}
}

// Wake compares the queues with the Providers soon. It never blocks.
func (q *Queues) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Start runs the queues until ctx ends and all sends under way are finished. It implements manager.Runnable.
func (q *Queues) Start(ctx context.Context) error {
	ticker := q.clock.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		q.sweep(ctx)
		select {
		case <-ctx.Done():
			q.stopped.Wait()
			return nil
		case <-q.wake:
		case <-ticker.C():
		}
	}
}

func (q *Queues) sweep(ctx context.Context) {
	existing, err := q.providers(ctx)
	if err != nil {
		q.log.Error(err, "failed to list Providers")
		return
	}
	exists := map[types.UID]bool{}
	for _, provider := range existing {
		exists[provider.UID] = true
		q.run(ctx, provider)
		q.running[provider.UID].orphaned = time.Time{}
	}
	listed, err := q.list.List(ctx)
	if err != nil && ctx.Err() == nil {
		q.log.V(logkey.Debug).Info("failed to look for queues of deleted Providers: "+err.Error(), logkey.Problem, err.Error())
	}
	for _, provider := range listed {
		if q.running[provider.UID] == nil {
			q.run(ctx, provider)
		}
	}
	for uid, queue := range q.running {
		if !exists[uid] {
			q.orphan(ctx, queue)
		}
	}
}

// run starts a queue, unless it runs. One that was stopped because its Provider seemed to be gone starts again.
func (q *Queues) run(ctx context.Context, provider route.Ref) {
	if known := q.running[provider.UID]; known != nil && !known.ended() {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	queue := &runningQueue{provider: provider, stop: stop, done: make(chan struct{})}
	q.running[provider.UID] = queue
	q.spawn(ctx, queue)
}

func (q *Queues) spawn(ctx context.Context, running *runningQueue) {
	handle := consume.Guarded(q.sender.Handle, q.sender.giveUpMessage, q.log)
	q.stopped.Go(func() {
		_ = consume.Run(ctx, q.bus, delivery.Queue(running.provider, q.parallel), handle, q.clock, q.log) // ends with ctx only
		close(running.done)
		q.Wake()
	})
}

// ended says that a queue was stopped and all its sends are finished.
func (r *runningQueue) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// orphan empties the queue of a Provider that is gone, and in the end removes it.
func (q *Queues) orphan(ctx context.Context, running *runningQueue) {
	first := running.orphaned.IsZero()
	if !first && q.clock.Since(running.orphaned) < orphanGrace || !q.halt(ctx, running) {
		return
	}
	if first {
		q.sender.resume(running.provider) // nobody waits for a target that is gone
		q.run(ctx, running.provider)
		q.running[running.provider.UID].orphaned = q.clock.Now()
		return
	}
	if err := q.list.Remove(ctx, running.provider.UID); err != nil {
		q.logOf(running).V(logkey.Debug).Info("failed to remove the queue of a deleted Provider: "+err.Error(), logkey.Problem, err.Error())
		return
	}
	q.sender.forget(running.provider)
	q.logOf(running).Info("removed the queue of a deleted Provider")
}

// halt stops a queue and forgets its place, and reports whether that is done: if not, a later sweep goes on. It waits for
// no send, which would hold up everybody's queues; the end of the last one wakes the next sweep.
func (q *Queues) halt(ctx context.Context, running *runningQueue) bool {
	running.stop()
	if !running.ended() {
		return false
	}
	if err := q.bus.Forget(ctx, delivery.Queue(running.provider, q.parallel)); err != nil {
		q.logOf(running).V(logkey.Debug).Info("failed to remove a consumer: "+err.Error(), logkey.Problem, err.Error())
		return false
	}
	delete(q.running, running.provider.UID)
	return true
}

func (q *Queues) logOf(running *runningQueue) logr.Logger {
	return logkey.Of(q.log, "Provider", running.provider.Namespace, running.provider.Name).
		WithValues(logkey.Provider, running.provider.String())
}
