package memory

import (
	"context"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
)

func (b *broker) Held(_ context.Context, stream bus.Stream) (map[string]uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := map[string]uint64{}
	s, ok := b.streams[stream.Name]
	if !ok {
		return held, nil
	}
	s.expire(time.Now())
	for _, message := range s.messages {
		held[message.Subject]++
	}
	return held, nil
}
