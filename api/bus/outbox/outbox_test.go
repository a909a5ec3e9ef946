package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/internal/wait"
	"github.com/sluice-gitops/sluice/api/event"
)

// fakeBus records what is published and answers with what fail says.
type fakeBus struct {
	bus.Bus
	reconnects chan struct{}

	mu        sync.Mutex
	fail      func(m bus.Message) error
	published []string
	busy, max int
}

func newFakeBus() *fakeBus { return &fakeBus{reconnects: make(chan struct{}, 1)} }

func (f *fakeBus) Publish(_ context.Context, _ bus.Stream, m bus.Message) error {
	f.mu.Lock()
	f.busy++
	f.max = max(f.max, f.busy)
	fail := f.fail
	f.mu.Unlock()
	<-time.After(time.Millisecond) // the fake clock's
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy--
	if fail != nil {
		if err := fail(m); err != nil {
			return err
		}
	}
	f.published = append(f.published, m.ID)
	return nil
}

func (f *fakeBus) Reconnects() <-chan struct{} { return f.reconnects }

func (f *fakeBus) set(fail func(m bus.Message) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *fakeBus) ids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.published)
}

func testEvent(name string) event.Event {
	return event.Event{
		InvolvedObject:      corev1.ObjectReference{Kind: "Kustomization", Namespace: "ns", Name: name},
		Reason:              "Succeeded",
		ReportingController: "sync-controller",
	}
}

func unavailable(bus.Message) error { return fmt.Errorf("down: %w", bus.ErrUnavailable) }

// inBubble runs test with an outbox that is started, on a fake clock.
func inBubble(t *testing.T, o Options, test func(t *testing.T, f *fakeBus, out *Outbox)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeBus()
		out := New(f, o)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- out.Start(ctx) }()
		synctest.Wait()
		test(t, f, out)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("start: %v", err)
		}
	})
}

func TestKeepsEachObjectsOrder(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, f *fakeBus, out *Outbox) {
		const objects, events = 20, 5
		for e := range events {
			for o := range objects {
				out.Announce(fmt.Sprintf("%d-%d", o, e), testEvent(fmt.Sprint("o", o)))
			}
		}
		<-time.After(time.Minute)
		ids := f.ids()
		if len(ids) != objects*events || out.Pending() != 0 {
			t.Fatalf("%d published, %d pending, want %d and 0", len(ids), out.Pending(), objects*events)
		}
		for o := range objects {
			mine := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !strings.HasPrefix(id, fmt.Sprint(o, "-")) })
			if !slices.IsSorted(mine) {
				t.Errorf("object %d is published in the order %v", o, mine)
			}
		}
		if f.max < 2 || f.max > publishers {
			t.Errorf("%d published at a time, want 2 to %d", f.max, publishers)
		}
	})
}

func TestRetriesWhatIsUnavailable(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, f *fakeBus, out *Outbox) {
		f.set(unavailable)
		out.Announce("one", testEvent("a"))
		out.Announce("two", testEvent("a"))
		<-time.After(time.Hour)
		if out.Pending() != 2 || out.Oldest() != time.Hour {
			t.Errorf("pending %d, oldest %v, want 2 and an hour", out.Pending(), out.Oldest())
		}
		f.set(nil)
		<-time.After(2 * wait.MaxBackOff)
		if ids := f.ids(); !slices.Equal(ids, []string{"one", "two"}) {
			t.Errorf("published %v", ids)
		}
		if out.Oldest() != 0 {
			t.Errorf("oldest %v with nothing waiting", out.Oldest())
		}
	})
}

func TestGivesUpWhatIsRefused(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, f *fakeBus, out *Outbox) {
		f.set(func(m bus.Message) error {
			if m.ID == "bad" {
				return errors.New("too large")
			}
			return nil
		})
		out.Announce("bad", testEvent("a"))
		out.Announce("good", testEvent("a"))
		out.Announce("malformed", event.Event{})
		<-time.After(time.Second)
		if ids := f.ids(); !slices.Equal(ids, []string{"good"}) || out.Pending() != 0 {
			t.Errorf("published %v, %d pending", ids, out.Pending())
		}
		if n := testutil.ToFloat64(out.metrics.dropped.WithLabelValues(droppedRejected)); n != 2 {
			t.Errorf("%v counted as rejected, want 2", n)
		}
	})
}

func TestKeepsTheNewestState(t *testing.T) {
	inBubble(t, Options{PerObject: 3}, func(t *testing.T, f *fakeBus, out *Outbox) {
		f.set(unavailable)
		for i := range 10 {
			out.Announce(fmt.Sprint(i), testEvent("a"))
		}
		f.set(nil)
		<-time.After(time.Minute)
		ids := f.ids()
		if last := ids[len(ids)-3:]; !slices.Equal(last, []string{"7", "8", "9"}) || len(ids) > 4 {
			t.Errorf("published %v, want the newest three, and at most the one that was on its way", ids)
		}
	})
}

func TestAnnouncesAgainAfterItWasFull(t *testing.T) {
	var out *Outbox
	calls := 0
	o := Options{Total: 4, Reannounce: func() {
		if calls++; calls > 1 {
			out.Announce("refused", testEvent("late"))
		}
	}}
	inBubble(t, o, func(t *testing.T, f *fakeBus, started *Outbox) {
		out = started
		f.set(unavailable)
		for i := range 4 {
			out.Announce(fmt.Sprint(i), testEvent(fmt.Sprint("o", i)))
		}
		out.Announce("refused", testEvent("late"))
		if out.Pending() != 4 {
			t.Errorf("%d pending, want 4", out.Pending())
		}
		f.set(nil)
		<-time.After(time.Minute)
		if calls != 2 || !slices.Contains(f.ids(), "refused") {
			t.Errorf("announced again %d times, published %v", calls, f.ids())
		}
	})
}

func TestPassesOverKnownIDs(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, f *fakeBus, out *Outbox) {
		for range 3 {
			out.Announce("one", testEvent("a"))
		}
		<-time.After(time.Second)
		out.Announce("one", testEvent("a"))
		<-time.After(time.Second)
		if ids := f.ids(); !slices.Equal(ids, []string{"one"}) {
			t.Errorf("published %v, want one once", ids)
		}
		f.reconnects <- struct{}{} // the broker may have lost it
		<-time.After(time.Second)
		out.Announce("one", testEvent("a"))
		<-time.After(time.Second)
		if ids := f.ids(); !slices.Equal(ids, []string{"one", "one"}) {
			t.Errorf("published %v after a reconnect, want one again", ids)
		}
	})
}

func TestAsksForTheStateAtStartAndAfterReconnects(t *testing.T) {
	calls := 0
	inBubble(t, Options{Reannounce: func() { calls++ }}, func(t *testing.T, f *fakeBus, _ *Outbox) {
		if calls != 1 {
			t.Errorf("asked %d times at start", calls)
		}
		f.reconnects <- struct{}{}
		synctest.Wait()
		if calls != 2 {
			t.Errorf("asked %d times after a reconnect, want 2", calls)
		}
		close(f.reconnects)
		<-time.After(time.Minute)
		if calls != 2 {
			t.Errorf("asked %d times after the bus was closed, want 2", calls)
		}
	})
}

func TestSaysThatEventsAreLate(t *testing.T) {
	var reported []string
	o := Options{OnLate: func(pending int, oldest time.Duration) {
		reported = append(reported, fmt.Sprintf("%d for %s", pending, oldest.Truncate(10*time.Second)))
	}}
	inBubble(t, o, func(t *testing.T, f *fakeBus, out *Outbox) {
		outage := func(id string, lasts time.Duration) {
			f.set(unavailable)
			out.Announce(id, testEvent("a"))
			out.Announce(id+" b", testEvent("b"))
			<-time.After(lasts)
			f.set(nil)
			<-time.After(time.Minute)
		}
		outage("short", 30*time.Second)
		outage("long", time.Hour)
		outage("next", 2*time.Minute)
		if want := []string{"2 for 1m0s", "2 for 1m0s"}; !slices.Equal(reported, want) {
			t.Errorf("reported %q, want %q: once for each outage of over a minute", reported, want)
		}
	})
}

func TestWithoutBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var none *Outbox
		none.Announce("one", testEvent("a"))
		out := New(nil, Options{Reannounce: func() { t.Error("asked for the state") }})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- out.Start(ctx) }()
		out.Announce("one", testEvent("a"))
		<-time.After(time.Minute)
		if out.Pending() != 0 {
			t.Error("events pile up although nothing takes them")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(New(newFakeBus(), Options{}).Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, family := range families {
		names = append(names, family.GetName())
	}
	want := []string{"sluice_outbox_dropped_total", "sluice_outbox_oldest_seconds", "sluice_outbox_pending", "sluice_outbox_published_total"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestQueueStaysWithinBounds(t *testing.T) {
	q := newQueue(2, 5)
	for i := range 100 {
		for o := range 4 {
			q.add(queueItem{object: fmt.Sprint(o), env: event.Envelope{ID: fmt.Sprintf("%d-%d", o, i)}})
		}
		if i%3 == 0 {
			if item, ok := q.take(); ok {
				q.release(item.object, i%2 == 0)
			}
		}
		if q.size > 5 {
			t.Fatalf("%d items, want 5 at most", q.size)
		}
	}
	sum := 0
	for _, object := range q.objects {
		sum += len(object.items)
	}
	if sum != q.size || len(q.ready) != len(q.objects) {
		t.Errorf("size %d, items %d; ready %d, objects %d", q.size, sum, len(q.ready), len(q.objects))
	}
}

func TestRecentIDsForgetTheOldest(t *testing.T) {
	r := newRecentIDs(2)
	for _, id := range []string{"a", "b", "b", "c"} {
		r.add(id)
	}
	if r.has("a") || !r.has("b") || !r.has("c") || len(r.known) != 2 {
		t.Errorf("remembers %v, want b and c", r.known)
	}
}
