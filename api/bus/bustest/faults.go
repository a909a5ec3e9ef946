package bustest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
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
		"a consumer that was edited":        editedConsumer,
		"a stream that was edited":          editedStream,
		"a server without room":             exhaustedStorage,
		"a store that was deleted":          deletedStore,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := NewServer(t, func(o *server.Options) { o.JetStreamMaxStore = 2 << 20 })
			if name != "a server that is not there yet" {
				s.Start(t)
			}
			b := connect(t, s.URL())
			t.Cleanup(b.Close)
			test(t, s, b)
		})
	}
}

func absentServer(t *testing.T, srv *Server, b bus.Bus) {
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
	srv.Start(t)
	publishUntilStored(t, b, s, "one")
	if d := receive(t, got); d.ID != "one" {
		t.Errorf("got %q", d.ID)
	}
}

func restartedServer(t *testing.T, srv *Server, b bus.Bus) {
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
	srv.Stop()
	eventually(t, "the loss of the connection shows", func() bool { return !b.Connected() })
	stop()
	srv.Start(t)
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

func wipedServer(t *testing.T, srv *Server, b bus.Bus) {
	s := newStream()
	got := make(chan bus.Delivery, 8)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, collect(got))
	publish(t, b, s, message(s, "a", "one"))
	receive(t, got)
	srv.Stop()
	srv.Wipe(t)
	srv.Start(t)
	receive(t, b.Reconnects())
	publishUntilStored(t, b, s, "one")
	if d := receive(t, got); d.ID != "one" {
		t.Errorf("got %q", d.ID)
	}
}

func deletedStream(t *testing.T, srv *Server, b bus.Bus) {
	s := newStream()
	got := make(chan bus.Delivery, 8)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, collect(got))
	publish(t, b, s, message(s, "a", "one"))
	receive(t, got)
	srv.Manage(t, func(js jetstream.JetStream) error { return js.DeleteStream(t.Context(), s.Name) })
	publishUntilStored(t, b, s, "two")
	if d := receive(t, got); d.ID != "two" {
		t.Errorf("got %q", d.ID)
	}
	receive(t, b.Reconnects()) // who has published has to know that it is gone
	publish(t, b, s, message(s, "a", "three"), message(s, "a", "three"))
	if d := receive(t, got); d.ID != "three" {
		t.Errorf("got %q", d.ID)
	}
	receiveNone(t, b.Reconnects())
}

// editedConsumer: what an operator changed by hand is set right when the consumer starts again.
func editedConsumer(t *testing.T, srv *Server, b bus.Bus) {
	s := newStream()
	got := make(chan bus.Delivery, 8)
	c := bus.Consumer{Stream: s, Name: "c"}
	stop := consume(t, b, c, collect(got))
	publish(t, b, s, message(s, "a", "one"))
	receive(t, got)
	stop()
	srv.Manage(t, func(js jetstream.JetStream) error {
		_, err := js.UpdateConsumer(t.Context(), s.Name, jetstream.ConsumerConfig{
			Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: 1, MaxAckPending: 1, FilterSubject: subject(s, "b"),
		})
		return err
	})
	publish(t, b, s, message(s, "a", "two"))
	consume(t, b, c, func(ctx context.Context, d bus.Delivery) bus.Verdict {
		if d.Attempt == 1 {
			return bus.Retry(time.Millisecond)
		}
		return collect(got)(ctx, d)
	})
	if d := receive(t, got); d.ID != "two" || d.Attempt != 2 {
		t.Errorf("got %q, attempt %d, want two again and again", d.ID, d.Attempt)
	}
}

// editedStream: what an operator changed by hand is set right by the first who may, at its next connection.
func editedStream(t *testing.T, srv *Server, b bus.Bus) {
	s := newStream()
	publish(t, b, s, message(s, "a", "one"))
	srv.Manage(t, func(js jetstream.JetStream) error {
		stream, err := js.Stream(t.Context(), s.Name)
		if err != nil {
			return err
		}
		config := stream.CachedInfo().Config
		config.Discard, config.MaxMsgs, config.MaxMsgsPerSubject = jetstream.DiscardOld, 1, 1
		config.Duplicates = time.Second
		_, err = js.UpdateStream(t.Context(), config)
		return err
	})
	srv.Stop()
	srv.Start(t)
	receive(t, b.Reconnects())
	publishUntilStored(t, b, s, "two")
	srv.Manage(t, func(js jetstream.JetStream) error {
		stream, err := js.Stream(t.Context(), s.Name)
		if err != nil {
			return err
		}
		config := stream.CachedInfo().Config
		if config.Discard != jetstream.DiscardNew || config.Duplicates != s.Window || config.MaxMsgs > 0 || config.MaxMsgsPerSubject > 0 {
			t.Errorf("the stream stays as it was edited: %+v", config)
		}
		return nil
	})
}

// exhaustedStorage: a server that has no room is waited for, whatever it says, and goes on when there is some.
func exhaustedStorage(t *testing.T, srv *Server, b bus.Bus) {
	s, other := newStream(), newStream()
	s.MaxBytes, other.MaxBytes = 0, 0
	filling := func(i int) bus.Message {
		return bus.Message{Subject: subject(other, "a"), ID: fmt.Sprint(i), Data: make([]byte, 32<<10)}
	}
	publish(t, b, s, message(s, "a", "one"))
	var err error
	stored := 0
	for ; err == nil && stored < 1000; stored++ {
		err = b.Publish(t.Context(), other, filling(stored))
	}
	if !errors.Is(err, bus.ErrUnavailable) {
		t.Fatalf("got %v after %d messages, want ErrUnavailable", err, stored)
	}
	large := newStream()
	large.MaxBytes = 1 << 40
	if err := b.Publish(t.Context(), large, message(large, "a", "one")); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("a stream that there is no room for: got %v, want ErrUnavailable", err)
	}
	srv.Manage(t, func(js jetstream.JetStream) error { return js.DeleteStream(t.Context(), other.Name) })
	publishUntilStored(t, b, s, "two")
	got := make(chan bus.Delivery, 8)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, collect(got))
	for _, id := range []string{"one", "two"} {
		if d := receive(t, got); d.ID != id {
			t.Errorf("got %q, want %q", d.ID, id)
		}
	}
}

func deletedConsumer(t *testing.T, srv *Server, b bus.Bus) {
	s := newStream()
	got := make(chan bus.Delivery, 8)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, collect(got))
	publish(t, b, s, message(s, "a", "one"))
	receive(t, got)
	srv.Manage(t, func(js jetstream.JetStream) error { return js.DeleteConsumer(t.Context(), s.Name, "c") })
	publish(t, b, s, message(s, "a", "two"))
	for _, id := range []string{"one", "two"} {
		if d := receive(t, got); d.ID != id {
			t.Errorf("got %q, want %q: a lost position means everything again", d.ID, id)
		}
	}
}

func deletedStore(t *testing.T, srv *Server, b bus.Bus) {
	name := storeName()
	s := openStore(t, b, name, 0)
	if _, err := s.Put(t.Context(), "k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	srv.Manage(t, func(js jetstream.JetStream) error { return js.DeleteKeyValue(t.Context(), name) })
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
