package jetstream

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-gitops/sluice/api/bus"
)

const (
	ensureTimeout = 500 * time.Millisecond // for one request about a stream; there are two at most
	ensureRetry   = 5 * time.Second        // after a failure
)

func (j *jetStream) Publish(ctx context.Context, stream bus.Stream, m bus.Message) error {
	if err := bus.CheckMessage(stream, m); err != nil {
		return err
	}
	if !j.conn.IsConnected() {
		return fmt.Errorf("publish to %s: not connected: %w", stream.Name, bus.ErrUnavailable)
	}
	j.ensure(stream)
	before := j.stream(stream.Name).latest()
	ack, err := j.publish(ctx, stream, m)
	if isNoStream(err) && j.forgetStream(stream.Name) {
		j.ensure(stream)
		ack, err = j.publish(ctx, stream, m)
	}
	switch {
	case err == nil:
		if j.stream(stream.Name).stored(ack, before) {
			j.log.Info("a NATS stream has begun anew, what it held is lost", "stream", stream.Name)
			j.signalReconnect()
		}
		return nil
	case isRefusal(err):
		return fmt.Errorf("publish to %s: %w", stream.Name, err)
	}
	// A full stream, a full disk, a server that answers nothing, a right that is missing: all may be mended.
	return fmt.Errorf("publish to %s: %w: %w", stream.Name, bus.ErrUnavailable, err)
}

func (j *jetStream) publish(ctx context.Context, stream bus.Stream, m bus.Message) (*jetstream.PubAck, error) {
	msg := nats.NewMsg(m.Subject)
	msg.Data = m.Data
	for key, value := range m.Header {
		msg.Header.Set(key, value)
	}
	options := []jetstream.PublishOpt{jetstream.WithExpectStream(stream.Name), jetstream.WithRetryAttempts(0)}
	if m.ID != "" {
		options = append(options, jetstream.WithMsgID(m.ID))
	}
	return j.js.PublishMsg(ctx, msg, options...)
}

func isNoStream(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrStreamNotFound)
}

// isRefusal says that this message will never be taken.
func isRefusal(err error) bool {
	return errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum) || errors.Is(err, nats.ErrMaxPayload) ||
		errors.Is(err, nats.ErrBadSubject)
}

// ensuredStream is what is known of a stream on the server.
type ensuredStream struct {
	mu    sync.Mutex
	done  bool
	tried time.Time
	last  uint64 // the highest sequence that was acknowledged; 0 for none
}

func (e *ensuredStream) latest() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

// stored records that the stream is there, whoever made it, and reports whether it is another one than before: sequences
// grow, so what was sent after a sequence was acknowledged gets a higher one, or the stream was deleted in between.
func (e *ensuredStream) stored(ack *jetstream.PubAck, before uint64) (recreated bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done = true
	if ack.Duplicate {
		return false // it has the sequence of the first
	}
	recreated = ack.Sequence <= before
	if recreated || ack.Sequence > e.last {
		e.last = ack.Sequence
	}
	return recreated
}

func (j *jetStream) stream(name string) *ensuredStream {
	j.mu.Lock()
	defer j.mu.Unlock()
	state, ok := j.ensured[name]
	if !ok {
		state = &ensuredStream{}
		j.ensured[name] = state
	}
	return state
}

// ensure creates or updates a stream, once per connection, for at most a second. Failing is not an error: who may not
// manage streams may still publish to one that exists, and publishing tells whether it does. It takes no context, for
// what one caller gives up the next one would have to begin anew.
func (j *jetStream) ensure(stream bus.Stream) {
	state := j.stream(stream.Name)
	state.mu.Lock()
	defer state.mu.Unlock()
	if state.done || time.Since(state.tried) < ensureRetry {
		return
	}
	err := j.apply(context.Background(), stream)
	state.tried, state.done = time.Now(), err == nil
	if err != nil {
		j.log.Info("NATS stream cannot be created or updated, using it as it is", "stream", stream.Name, "error", err.Error())
	}
}

// forgetStream makes ensure look again. It returns false when nothing was known of the stream.
func (j *jetStream) forgetStream(name string) bool {
	state := j.stream(name)
	state.mu.Lock()
	defer state.mu.Unlock()
	known := state.done
	state.done = false
	if known {
		state.tried = time.Time{}
	}
	return known
}

// apply makes the server's stream what is asked for. What it says beyond that (replicas, placement) is the operator's.
func (j *jetStream) apply(ctx context.Context, stream bus.Stream) error {
	lookCtx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	existing, err := j.js.Stream(lookCtx, stream.Name)
	want := jetstream.StreamConfig{Name: stream.Name, Storage: jetstream.FileStorage, Replicas: 1}
	found := err == nil
	if found {
		want = existing.CachedInfo().Config
	}
	before := want
	configure(&want, stream)
	if found && reflect.DeepEqual(before, want) {
		return nil
	}
	ctx, cancel = context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	if found {
		_, err = j.js.UpdateStream(ctx, want)
		return err
	}
	_, err = j.js.CreateStream(ctx, want)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil // who may create may not always look, or another was first
	}
	return err
}

func configure(c *jetstream.StreamConfig, stream bus.Stream) {
	c.Subjects = stream.Subjects
	c.Retention = jetstream.LimitsPolicy
	if stream.WorkQueue {
		c.Retention = jetstream.WorkQueuePolicy
	}
	c.MaxMsgs, c.MaxMsgsPerSubject = -1, -1 // the latter evicts whatever the discard policy says
	c.MaxAge = stream.MaxAge
	c.MaxBytes = stream.MaxBytes
	if c.MaxBytes == 0 {
		c.MaxBytes = -1
	}
	c.MaxMsgSize = bus.MaxData + bus.MaxHeaders + bus.MaxHeaders/2 // the server counts our headers and its own
	c.Duplicates = stream.DeduplicationWindow()
	c.Discard = jetstream.DiscardNew // overload shows at the publisher, and nothing unread is evicted
	c.DenyDelete = true
	c.DenyPurge = true
}
