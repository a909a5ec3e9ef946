package controller

import (
	"context"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/notify-controller/internal/deadletter"
)

// Bounds of what a process without NATS keeps in memory.
const (
	standaloneAge   = 24 * time.Hour
	standaloneBytes = 16 << 20
)

// standalone bounds a bus in memory, of which this process is the only reader: what was routed is not kept for an audit
// trail, and no stream grows beyond what a container has room for.
func standalone(memory bus.Bus) bus.Bus { return bounded{memory} }

type bounded struct{ bus.Bus }

func (b bounded) Publish(ctx context.Context, stream bus.Stream, m bus.Message) error {
	return b.Bus.Publish(ctx, bound(stream), m)
}

func (b bounded) Consume(ctx context.Context, c bus.Consumer, handle bus.Handler) error {
	c.Stream = bound(c.Stream)
	return b.Bus.Consume(ctx, c, handle)
}

func (b bounded) Forget(ctx context.Context, c bus.Consumer) error {
	c.Stream = bound(c.Stream)
	return b.Bus.Forget(ctx, c)
}

func bound(stream bus.Stream) bus.Stream {
	stream.MaxAge, stream.MaxBytes = min(stream.MaxAge, standaloneAge), min(stream.MaxBytes, standaloneBytes)
	switch stream.Name {
	case bus.Events().Name:
		stream.WorkQueue = true
	case deadletter.Stream().Name:
		stream.MaxAge = time.Hour // nobody reads them here; they are Events on the Alert
	}
	return stream
}
