package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/internal/wait"
)

const (
	pullExpiry    = 30 * time.Second
	pullHeartbeat = 2 * time.Second
	// maxAckPending also counts what waits for its retry: it must never hold up what is new.
	maxAckPending = 100_000
)

func (j *jetStream) Consume(ctx context.Context, c bus.Consumer, handle bus.Handler) error {
	if err := bus.CheckConsumer(c); err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	run := &consumption{jetStream: j, consumer: c, handle: handle, running: &running,
		slots: make(chan struct{}, max(c.Parallel, 1)), opened: make(chan struct{})}
	log := j.log.WithValues("stream", c.Stream.Name, "consumer", c.Name)
	for failures := 0; ; {
		began, err := run.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if j.conn.IsClosed() {
			return errors.New("consume: the bus is closed")
		}
		if began {
			failures = 0
		}
		failures++
		if failures == 1 {
			log.Info("consumer interrupted, going on when it can", "error", err.Error())
		}
		wait.For(ctx, time.After(wait.BackOff(failures)))
	}
}

// consumption is one call of Consume.
type consumption struct {
	*jetStream
	consumer bus.Consumer
	handle   bus.Handler
	running  *sync.WaitGroup
	slots    chan struct{}

	mu      sync.Mutex
	created time.Time     // when the server made the consumer that is pulled from
	opened  chan struct{} // closed and replaced when a session begins
}

// session pulls until something breaks. It asks for one message at a time, and only when there is somebody to handle it:
// what waits in this process would come again elsewhere.
func (r *consumption) session(ctx context.Context) (began bool, err error) {
	if !r.conn.IsConnected() {
		return false, bus.ErrUnavailable
	}
	pullCtx, cancel := r.untilReconnect(ctx)
	defer cancel()
	r.ensure(r.consumer.Stream)
	consumer, err := r.open(ctx)
	if err != nil {
		r.forgetStream(r.consumer.Stream.Name)
		return false, err
	}
	info, err := consumer.Info(ctx) // what creating it answers names the time of the server's start
	if err != nil {
		return false, err
	}
	created := info.Created
	r.begin(created)
	messages, err := consumer.Messages(jetstream.PullMaxMessages(1), jetstream.PullExpiry(pullExpiry),
		jetstream.PullHeartbeat(pullHeartbeat), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return false, err
	}
	defer r.stopPulling(messages)
	for {
		select {
		case <-pullCtx.Done():
			return began, pullCtx.Err()
		case r.slots <- struct{}{}:
		}
		msg, err := messages.Next(jetstream.NextContext(pullCtx))
		if err != nil {
			<-r.slots
			return began, err
		}
		began = true
		r.running.Go(func() {
			defer func() { <-r.slots }()
			r.deliver(ctx, msg, created)
		})
	}
}

// untilReconnect returns a context that ends with ctx, or when the connection came back: the server may have forgotten
// the consumer, and asking costs less than waiting for a heartbeat that never comes.
func (j *jetStream) untilReconnect(ctx context.Context) (context.Context, context.CancelFunc) {
	j.mu.Lock()
	restored := j.restored
	j.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		wait.For(ctx, restored)
		cancel()
	}()
	return ctx, cancel
}

// open creates or updates the durable consumer, or takes it as it is when that is not allowed.
func (r *consumption) open(ctx context.Context) (jetstream.Consumer, error) {
	want := jetstream.ConsumerConfig{
		Durable:       r.consumer.Name,
		FilterSubject: r.consumer.Filter,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       r.ackWait,
		MaxDeliver:    -1,
		MaxAckPending: maxAckPending,
	}
	createCtx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	consumer, err := r.js.CreateOrUpdateConsumer(createCtx, r.consumer.Stream.Name, want)
	if err == nil {
		return consumer, nil
	}
	lookCtx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if existing, lookErr := r.js.Consumer(lookCtx, r.consumer.Stream.Name, r.consumer.Name); lookErr == nil {
		r.log.Info("NATS consumer cannot be updated, using it as it is", "consumer", r.consumer.Name, "error", err.Error())
		return existing, nil
	}
	return nil, err
}

// stopPulling ends pulling; a message that was on its way goes back at once.
func (r *consumption) stopPulling(messages jetstream.MessagesContext) {
	messages.Drain()
	if msg, err := messages.Next(jetstream.NextMaxWait(time.Second)); err == nil {
		_ = r.respond(msg, bus.Retry(0)) // else it comes again after ackWait
	}
	messages.Stop()
}

// deliver handles one message of the consumer that was made at created, and tells the server what became of it.
func (r *consumption) deliver(ctx context.Context, msg jetstream.Msg, created time.Time) {
	meta, err := msg.Metadata()
	if err != nil {
		r.log.Error(err, "message without JetStream's metadata", "subject", msg.Subject())
		return
	}
	stop := r.keepAlive(msg)
	verdict := r.handle.Call(ctx, bus.Delivery{
		Message: received(msg),
		Attempt: int(min(meta.NumDelivered, 1<<30)),
		Stored:  meta.Timestamp,
	})
	stop()
	if err := r.settle(ctx, msg, created, verdict); err != nil {
		r.log.Info("message may be delivered again", "subject", msg.Subject(), "error", err.Error())
	}
}

// keepAlive tells the server that the handler is still at it, until stop is called.
func (r *consumption) keepAlive(msg jetstream.Msg) (stop func()) {
	done := make(chan struct{})
	go func() {
		ticker := time.NewTicker(r.ackWait / 3)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				_ = msg.InProgress() // a lost one costs a repetition at most
			}
		}
	}()
	return func() { close(done) }
}

func received(msg jetstream.Msg) bus.Message {
	m := bus.Message{Subject: msg.Subject(), ID: msg.Headers().Get(nats.MsgIdHdr), Data: msg.Data()}
	for key, values := range msg.Headers() {
		if len(values) == 0 || strings.HasPrefix(key, "Nats-") {
			continue
		}
		if m.Header == nil {
			m.Header = map[string]string{}
		}
		m.Header[key] = values[0]
	}
	return m
}

func (j *jetStream) Forget(ctx context.Context, c bus.Consumer) error {
	if err := bus.CheckConsumer(c); err != nil {
		return fmt.Errorf("forget consumer: %w", err)
	}
	if !j.conn.IsConnected() {
		return fmt.Errorf("forget consumer %s: not connected: %w", c.Name, bus.ErrUnavailable)
	}
	err := j.js.DeleteConsumer(ctx, c.Stream.Name, c.Name)
	if err == nil || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return fmt.Errorf("forget consumer %s: %w: %w", c.Name, bus.ErrUnavailable, err)
}
