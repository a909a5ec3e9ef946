package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/internal/wait"
	"github.com/sluice-gitops/sluice/api/event"
)

const maxDropReason = 200

// errReplaced says that a message came from a consumer that is gone, because the server lost it or somebody deleted it.
var errReplaced = errors.New("the consumer it came from is gone")

// settle passes a verdict on. One that the server does not hear is told again when it is back, until the server delivers
// the message again by itself. But it is never told to a consumer made since: there the same numbers are other messages,
// and one that nobody has handled would count as done.
//
// It outlives ctx for one attempt: what was handled last is to be acknowledged.
func (r *consumption) settle(ctx context.Context, msg jetstream.Msg, created time.Time, v bus.Verdict) error {
	begun := time.Now()
	for failures := 1; ; failures++ {
		current, opened := r.latest()
		if !current.Equal(created) {
			return errReplaced
		}
		err := r.respond(msg, after(v, time.Since(begun)))
		if err == nil {
			return nil
		}
		left := r.ackWait - time.Since(begun)
		if ctx.Err() != nil || left <= 0 || errors.Is(err, nats.ErrConnectionClosed) {
			return err
		}
		pause := left
		if r.conn.IsConnected() {
			pause = min(left, wait.BackOff(failures))
		}
		waitCtx, cancel := context.WithTimeout(ctx, pause)
		wait.For(waitCtx, opened)
		cancel()
	}
}

// respond passes a verdict on, and returns nil once the server has answered: what is written into a connection that is about
// to break only looks sent.
func (j *jetStream) respond(msg jetstream.Msg, v bus.Verdict) error {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	_, err := j.conn.RequestWithContext(ctx, msg.Reply(), wire(v))
	return err
}

// wire is a verdict in JetStream's words.
func wire(v bus.Verdict) []byte {
	switch {
	case v.Drop != "":
		return []byte("+TERM " + event.Shorten(strings.Join(strings.Fields(v.Drop), " "), maxDropReason))
	case v.RetryAfter > 0:
		return fmt.Appendf(nil, `-NAK {"delay": %d}`, v.RetryAfter.Nanoseconds())
	}
	return []byte("+ACK")
}

// after is the verdict some time later.
func after(v bus.Verdict, elapsed time.Duration) bus.Verdict {
	if v.RetryAfter > 0 {
		v.RetryAfter = bus.Retry(v.RetryAfter - elapsed).RetryAfter
	}
	return v
}

// begin says that a session pulls from the consumer that was made at created.
func (r *consumption) begin(created time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.created = created
	close(r.opened)
	r.opened = make(chan struct{})
}

// latest returns when the consumer of the latest session was made, and what is closed when the next one begins.
func (r *consumption) latest() (created time.Time, opened <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.created, r.opened
}
