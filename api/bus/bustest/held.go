package bustest

import (
	"context"
	"maps"
	"testing"

	"github.com/sluice-gitops/sluice/api/bus"
)

// held: what a stream holds is counted by subject, of a work queue only what was not handled, and looking makes no stream.
func held(t *testing.T, b bus.Bus) {
	stream := newStream()
	stream.WorkQueue = true
	want := func(what string, all map[string]uint64) {
		t.Helper()
		eventually(t, what, func() bool {
			got, err := b.Held(t.Context(), stream)
			return err == nil && maps.Equal(got, all)
		})
	}
	want("a stream that is not there", map[string]uint64{})
	one, other := subject(stream, "a"), subject(stream, "b")
	publish(t, b, stream, message(stream, "a", "1"), message(stream, "b", "2"), message(stream, "b", "3"))
	want("all that was published", map[string]uint64{one: 1, other: 2})
	consume(t, b, bus.Consumer{Stream: stream, Name: "held", Filter: one}, func(context.Context, bus.Delivery) bus.Verdict {
		return bus.Done()
	})
	want("what was not handled", map[string]uint64{other: 2})
}
