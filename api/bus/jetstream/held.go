package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-gitops/sluice/api/bus"
)

func (j *jetStream) Held(ctx context.Context, stream bus.Stream) (map[string]uint64, error) {
	if !j.conn.IsConnected() {
		return nil, fmt.Errorf("look at %s: not connected: %w", stream.Name, bus.ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	found, err := j.js.Stream(ctx, stream.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return map[string]uint64{}, nil
	}
	var info *jetstream.StreamInfo
	if err == nil {
		info, err = found.Info(ctx, jetstream.WithSubjectFilter(">"))
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w: %w", stream.Name, bus.ErrUnavailable, err)
	}
	if info.State.Subjects == nil {
		return map[string]uint64{}, nil
	}
	return info.State.Subjects, nil
}
