// Package outbox publishes a controller's events without ever holding up a reconcile: [Outbox.Announce] queues, [Outbox.Start]
// publishes, and what it does while the broker is away, full or replaced is api/decisions/0012-bus-rules.md. Read outbox.go,
// then queue.go for what is kept and what is given up, publish.go, late.go for whom a user hears it from, metrics.go. It knows a
// [bus.Bus] and no broker.
package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/event"
)

// Options bound an [Outbox]. The zero value works.
type Options struct {
	// Log receives what cannot be published; the zero value discards.
	Log logr.Logger
	// Clock tells the time; nil for time.Now.
	Clock func() time.Time
	// PerObject is how many events of one object wait at most; 0 for 32. When there are more, the oldest that waits is
	// given up: the newest state always stays.
	PerObject int
	// Total is how many events wait at most, over all objects; 0 for 50 000. Past it an object keeps its newest event
	// only, and an object that has none waiting is announced again once the outbox is empty.
	Total int
	// Reannounce announces the current state of every object again. It is called at start, after each reconnect, and when
	// the outbox is empty again after it was full; never concurrently, and off the hot path. Nil for none.
	Reannounce func()
	// OnLate is called when an event has waited for a minute or more, with how many wait and for how long the oldest has;
	// once, until no event waits that long any more. Whatever the cause (NATS is away, full, or refuses this client), a
	// user should hear of it: notifications are late. It must not block. Nil for none.
	OnLate func(pending int, oldest time.Duration)
}

// Outbox takes events off the reconcile path: Announce queues, Start publishes. The events of one object are published in
// order, those of different objects concurrently. What waits is lost with the process; that is why the current state is
// announced again at start, under the same ids. What the broker had stored may be lost with the broker; that is why the
// same is done after a reconnect, when the outbox has forgotten what it published before.
//
// All methods are safe for concurrent use, and on a nil outbox Announce does nothing.
type Outbox struct {
	bus     bus.Bus
	options Options
	stream  bus.Stream
	metrics *metrics
	wakeUp  chan struct{} // a token per publisher that may find something to do
	drained chan struct{} // signalled when the queue is empty after something had been refused

	mu      sync.Mutex
	queue   *queue
	recent  *recentIDs
	refused bool // something was, since the queue was empty
}

// New returns an outbox of a bus. With a nil bus notifications are off: Announce does nothing.
func New(b bus.Bus, o Options) *Outbox {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.PerObject <= 0 {
		o.PerObject = 32
	}
	if o.Total <= 0 {
		o.Total = 50_000
	}
	out := &Outbox{
		bus:     b,
		options: o,
		stream:  bus.Events(),
		wakeUp:  make(chan struct{}, publishers),
		drained: make(chan struct{}, 1),
		queue:   newQueue(o.PerObject, o.Total),
		recent:  newRecentIDs(recentSize),
	}
	out.metrics = newMetrics(out)
	return out
}

// Announce queues an event for publishing; id is the transition's (see event.ID). It never blocks. An id that waits
// already, or was published lately and since the last reconnect, is passed over. An event that cannot be wrapped (see
// event.Wrap) is logged and counted as dropped.
func (o *Outbox) Announce(id string, ev event.Event) {
	if o == nil || o.bus == nil {
		return
	}
	env, err := event.Wrap(id, ev)
	if err != nil {
		o.metrics.dropped.WithLabelValues(droppedRejected).Inc()
		o.options.Log.Error(err, "event given up", "kind", ev.InvolvedObject.Kind,
			"namespace", ev.InvolvedObject.Namespace, "name", ev.InvolvedObject.Name, "reason", ev.Reason)
		return
	}
	obj := ev.InvolvedObject
	o.enqueue(queueItem{
		object: obj.Kind + "/" + obj.Namespace + "/" + obj.Name,
		env:    env,
		queued: o.options.Clock(),
	})
}

func (o *Outbox) enqueue(item queueItem) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.recent.has(item.env.ID) {
		return
	}
	switch o.queue.add(item) {
	case addedCollapsed:
		o.metrics.dropped.WithLabelValues(droppedCollapsed).Inc()
	case refusedFull:
		o.refused = true
		o.metrics.dropped.WithLabelValues(droppedFull).Inc()
	case added:
	}
	select {
	case o.wakeUp <- struct{}{}:
	default: // every publisher is going to look anyway
	}
}

// Start publishes until ctx ends, and then returns nil. It implements manager.Runnable.
func (o *Outbox) Start(ctx context.Context) error {
	if o.bus == nil {
		o.options.Log.Info("notifications are off: no message bus is configured")
		<-ctx.Done()
		return nil
	}
	var running sync.WaitGroup
	for range publishers {
		running.Go(func() { o.publish(ctx) })
	}
	running.Go(func() { o.reannounce(ctx) })
	running.Go(func() { o.watchLate(ctx) })
	running.Wait()
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: only the leader announces.
func (o *Outbox) NeedLeaderElection() bool { return true }

// Pending is how many events wait.
func (o *Outbox) Pending() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queue.size
}

// Oldest is for how long the oldest waiting event has waited; 0 when none waits.
func (o *Outbox) Oldest() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	oldest, ok := o.queue.oldest()
	if !ok {
		return 0
	}
	return max(o.options.Clock().Sub(oldest), 0)
}

// Collectors are the outbox's metrics, for the caller to register once: sluice_outbox_pending and
// sluice_outbox_oldest_seconds, sluice_outbox_published_total, and sluice_outbox_dropped_total by reason.
func (o *Outbox) Collectors() []prometheus.Collector { return o.metrics.collectors() }
