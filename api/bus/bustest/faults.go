package bustest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-gitops/sluice/api/bus"
)

// RunFaults checks a bus over a network against what happens to its server. Connect returns a bus to the server at a URL;
// it must not need the server to be there.
func RunFaults(t *testing.T, connect func(t *testing.T, url string) bus.Bus) {
	t.Helper()
	tests := map[string]func(t *testing.T, s *Server, b bus.Bus){
		"a server that is not there yet":    absentServer,
		"a server that restarts":            restartedServer,
		"a server that forgot everything":   wipedServer,
		"a stream that was deleted by hand": deletedStream,
		"a consumer that was deleted":       deletedConsumer,
		"a store that was deleted":          deletedStore,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := NewServer(t)
			if name != "a server that is not there yet" {
				s.Start(t)
			}
			b := connect(t, s.URL())
			t.Cleanup(b.Close)
			test(t, s, b)
		})
	}
}

func absentServer(t *testing.T, server *Server, b bus.Bus) {
	s := newStream()
	if b.Connected() {
		t.Fatal("connected to a server that is not there")
	}
	began := time.Now()
	if err := b.Publish(t.Context(), s, message(s, "a", "one")); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("publish: got %v, want ErrUnavailable", err)
	}
	if _, err := b.Store(t.Context(), "store", 0); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("store: got %v, want ErrUnavailable", err)
	}
	if waited := time.Since(began); waited > 2*time.Second {
		t.Errorf("failing took %v", waited)
	}
	got := make(chan bus.Delivery, 8)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, collect(got))
	server.Start(t)
	publishUntilStored(t, b, s, "one")
	if d := receive(t, got); d.ID != "one" {
		t.Errorf("got %q", d.ID)
	}
}

func restartedServer(t *testing.T, server *Server, b bus.Bus) {
	s := newStream()
	c := bus.Consumer{Stream: s, Name: "c"}
	got := make(chan bus.Delivery, 8)
	stop := consume(t, b, c, collect(got))
	publish(t, b, s, message(s, "a", "handled"))
	receive(t, got)
	stop()
	publish(t, b, s, message(s, "a", "waiting"))
	stop = consume(t, b, bus.Consumer{Stream: s, Name: "other"}, func(context.Context, bus.Delivery) bus.Verdict {
		return bus.Retry(time.Minute)
	})
	server.Stop()
	eventually(t, "the loss of the connection shows", func() bool { return !b.Connected() })
	stop()
	server.Start(t)
	receive(t, b.Reconnects())
	publishUntilStored(t, b, s, "waiting") // the window outlives the restart
	publishUntilStored(t, b, s, "new")
	consume(t, b, c, collect(got))
	for _, id := range []string{"waiting", "new"} {
		if d := receive(t, got); d.ID != id {
			t.Errorf("got %q, want %q", d.ID, id)
		}
	}
	receiveNone(t, got)
}

func wipedServer(t *testing.T, server *Server, b bus.Bus) {
	s := newStream()
	got := make(chan bus.Delivery, 8)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, collect(got))
	publish(t, b, s, message(s, "a", "one"))
	receive(t, got)
	server.Stop()
	server.Wipe(t)
	server.Start(t)
	receive(t, b.Reconnects())
	publishUntilStored(t, b, s, "one")
	if d := receive(t, got); d.ID != "one" {
		t.Errorf("got %q", d.ID)
	}
}

func deletedStream(t *testing.T, server *Server, b bus.Bus) {
	s := newStream()
	got := make(chan bus.Delivery, 8)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, collect(got))
	publish(t, b, s, message(s, "a", "one"))
	receive(t, got)
	server.Manage(t, func(js jetstream.JetStream) error { return js.DeleteStream(t.Context(), s.Name) })
	publishUntilStored(t, b, s, "two")
	if d := receive(t, got); d.ID != "two" {
		t.Errorf("got %q", d.ID)
	}
}

func deletedConsumer(t *testing.T, server *Server, b bus.Bus) {
	s := newStream()
	got := make(chan bus.Delivery, 8)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, collect(got))
	publish(t, b, s, message(s, "a", "one"))
	receive(t, got)
	server.Manage(t, func(js jetstream.JetStream) error { return js.DeleteConsumer(t.Context(), s.Name, "c") })
	publish(t, b, s, message(s, "a", "two"))
	for _, id := range []string{"one", "two"} {
		if d := receive(t, got); d.ID != id {
			t.Errorf("got %q, want %q: a lost position means everything again", d.ID, id)
		}
	}
}

func deletedStore(t *testing.T, server *Server, b bus.Bus) {
	name := storeName()
	s := openStore(t, b, name, 0)
	if _, err := s.Put(t.Context(), "k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	server.Manage(t, func(js jetstream.JetStream) error { return js.DeleteKeyValue(t.Context(), name) })
	eventually(t, "the store works again", func() bool {
		_, err := s.Put(t.Context(), "k", []byte("v"), 0)
		return err == nil
	})
}

func publishUntilStored(t *testing.T, b bus.Bus, s bus.Stream, id string) {
	t.Helper()
	eventually(t, id+" is stored", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err := b.Publish(ctx, s, message(s, "a", id))
		if err != nil && !errors.Is(err, bus.ErrUnavailable) {
			t.Fatalf("publish: got %v, want ErrUnavailable at worst", err)
		}
		return err == nil
	})
}
