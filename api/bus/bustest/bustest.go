// Package bustest is the contract of bus.Bus as a test suite, and a real NATS server to run it against:
//
//   - [Run] for what every bus keeps
//   - [RunFaults] for what a bus over a network keeps while its server comes, goes and forgets
//   - [StartServer] for a NATS server in this process
package bustest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
)

// patience is how long a test waits for what has to happen.
const patience = 90 * time.Second

// quiet is how long a test waits for what must not happen.
const quiet = 300 * time.Millisecond

// Run checks a bus against the contract. Open returns one that can be used at once; each test opens its own and uses
// names that no other test uses, so that all may share a broker.
func Run(t *testing.T, open func(t *testing.T) bus.Bus) {
	t.Helper()
	tests := map[string]func(t *testing.T, b bus.Bus){
		"publish/arrives as it was sent":                  arrives,
		"publish/an id is stored once":                    storedOnce,
		"publish/what can never be stored is refused":     refused,
		"publish/a full stream is unavailable":            full,
		"consume/a retry comes again, later":              retried,
		"consume/a dropped message never comes again":     dropped,
		"consume/a panic is survived":                     panics,
		"consume/goes on where it stopped":                durable,
		"consume/what was done at the end stays done":     doneAtTheEnd,
		"consume/each consumer gets every message":        independent,
		"consume/a filter narrows":                        filtered,
		"consume/as many at a time as asked for":          parallel,
		"consume/one slow message holds up no other":      slow,
		"consume/a handler's context ends with it":        cancelled,
		"consume/a work queue forgets what was handled":   workQueue,
		"consume/a forgotten consumer begins again":       forgotten,
		"consume/bad names are refused":                   badNames,
		"held/by subject":                                 held,
		"store/compare and swap":                          compareAndSwap,
		"store/values are copies":                         copies,
		"store/entries expire":                            expires,
		"store/is shared by name":                         shared,
		"store/bad keys are refused":                      badKeys,
		"close/publishing to a closed bus is unavailable": closed,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := open(t)
			t.Cleanup(b.Close)
			test(t, b)
		})
	}
}

// newStream returns a stream that nothing else uses.
func newStream() bus.Stream {
	id := fmt.Sprintf("%016X", rand.Uint64())
	return bus.Stream{
		Name:     "TEST_" + id,
		Subjects: []string{"test." + id + ".>"},
		MaxAge:   time.Hour,
		MaxBytes: 1 << 20,
		Window:   time.Minute,
	}
}

// message returns a message on a subject of the stream.
func message(s bus.Stream, token, id string) bus.Message {
	return bus.Message{Subject: subject(s, token), ID: id, Data: []byte("data of " + id)}
}

func subject(s bus.Stream, token string) string {
	return s.Subjects[0][:len(s.Subjects[0])-1] + token
}

func publish(t *testing.T, b bus.Bus, s bus.Stream, messages ...bus.Message) {
	t.Helper()
	for _, m := range messages {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := b.Publish(ctx, s, m); err != nil {
			t.Fatalf("publish %s: %v", m.ID, err)
		}
		cancel()
	}
}

// consume runs a consumer in the background. Stop ends it and waits for it.
func consume(t *testing.T, b bus.Bus, c bus.Consumer, handle bus.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Consume(ctx, c, handle) }()
	stop = func() {
		cancel()
		if err := receive(t, ended); err != nil && ctx.Err() == nil {
			t.Errorf("consume: %v", err)
		}
		ended <- nil // for a second stop
	}
	t.Cleanup(stop)
	return stop
}

// collect handles everything with Done and passes the deliveries on.
func collect(into chan<- bus.Delivery) bus.Handler {
	return func(ctx context.Context, d bus.Delivery) bus.Verdict {
		select {
		case into <- d:
			return bus.Done()
		case <-ctx.Done():
			return bus.Retry(0)
		}
	}
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

func receiveNone[T any](t *testing.T, c <-chan T) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("unexpected: %+v", v)
	case <-time.After(quiet):
	}
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
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
