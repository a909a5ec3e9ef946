package jetstream_test

import (
	"context"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/bustest"
	"github.com/sluice-gitops/sluice/api/bus/jetstream"
)

// handling is one call of a handler, which ends with the verdict that is sent to it.
type handling struct {
	bus.Delivery
	verdict chan bus.Verdict
}

// handlings consumes the stream, two at a time.
func handlings(t *testing.T, b bus.Bus) <-chan handling {
	t.Helper()
	found := make(chan handling, 8)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = b.Consume(ctx, bus.Consumer{Stream: stream, Name: "c", Parallel: 2}, func(ctx context.Context, d bus.Delivery) bus.Verdict {
			h := handling{d, make(chan bus.Verdict)}
			found <- h
			select {
			case v := <-h.verdict:
				return v
			case <-ctx.Done():
				return bus.Done()
			}
		}) // ends with ctx only
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return found
}

func next(t *testing.T, from <-chan handling) handling {
	t.Helper()
	select {
	case h := <-from:
		return h
	case <-time.After(90 * time.Second):
		t.Fatal("waited in vain for a delivery")
		return handling{}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(90 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}

func store(t *testing.T, b bus.Bus, id string) {
	t.Helper()
	eventually(t, id+" is stored", func() bool {
		return b.Publish(t.Context(), stream, bus.Message{Subject: "a.b", ID: id}) == nil
	})
}

// patient returns a bus to a server that delivers nothing again by itself while a test lasts.
func patient(t *testing.T, s *bustest.Server) bus.Bus {
	t.Helper()
	b := connect(t, jetstream.Options{URL: s.URL(), Name: "test"})
	jetstream.SetAckWait(b, time.Hour)
	return b
}

// TestVerdictWhileTheServerIsAway: the server hears it when it is back, rather than deliver the message again in its time.
func TestVerdictWhileTheServerIsAway(t *testing.T) {
	tests := map[string]struct {
		reason  string
		verdict bus.Verdict
		again   bool
	}{
		"done":  {reason: "it was handled", verdict: bus.Done()},
		"drop":  {reason: "it must not come again", verdict: bus.Drop("unreadable")},
		"retry": {reason: "it is to come again soon", verdict: bus.Retry(time.Millisecond), again: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := bustest.StartServer(t)
			b := patient(t, s)
			found := handlings(t, b)
			store(t, b, "one")
			first := next(t, found)
			s.Stop()
			eventually(t, "the loss of the connection shows", func() bool { return !b.Connected() })
			first.verdict <- tc.verdict
			s.Start(t)
			if tc.again {
				again := next(t, found)
				if again.ID != "one" || again.Attempt != 2 {
					t.Errorf("%s: got %s, attempt %d", tc.reason, again.ID, again.Attempt)
				}
				again.verdict <- bus.Done()
			}
			eventually(t, "nothing is waited for: "+tc.reason, func() bool { return waitsFor(t, s) == 0 })
			if len(found) > 0 {
				t.Errorf("%s: delivered again", tc.reason)
			}
		})
	}
}

// waitsFor is how many deliveries the server waits for to be settled, or has still to deliver.
func waitsFor(t *testing.T, s *bustest.Server) int {
	t.Helper()
	waits := 0
	s.Manage(t, func(js natsjs.JetStream) error {
		consumer, err := js.Consumer(t.Context(), stream.Name, "c")
		if err == nil {
			info := consumer.CachedInfo()
			waits = info.NumAckPending + int(info.NumPending)
		}
		return err
	})
	return waits
}

// TestVerdictForAWipedServer: what became of a message that the server has lost says nothing about the one that has its
// number now.
func TestVerdictForAWipedServer(t *testing.T) {
	s := bustest.StartServer(t)
	b := patient(t, s)
	found := handlings(t, b)
	store(t, b, "lost")
	lost := next(t, found)
	s.Stop()
	s.Wipe(t)
	s.Start(t)
	store(t, b, "new")
	anew := next(t, found)
	lost.verdict <- bus.Done()
	store(t, b, "other")
	next(t, found).verdict <- bus.Done() // there was room for it, so the first verdict was dealt with
	anew.verdict <- bus.Retry(time.Millisecond)
	again := next(t, found)
	if anew.ID != "new" || again.ID != "new" || again.Attempt != 2 {
		t.Errorf("got %s and %s, attempt %d, want new twice", anew.ID, again.ID, again.Attempt)
	}
	again.verdict <- bus.Done()
}
