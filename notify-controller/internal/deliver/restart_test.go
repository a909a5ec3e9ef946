package deliver_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/bustest"
	"github.com/sluice-gitops/sluice/api/bus/memory"
	"github.com/sluice-gitops/sluice/api/bus/outbox"
)

// limited answers 429.
func limited(after string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", after)
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

// TestRetryAfterSurvivesRestarts, of this controller and of NATS.
func TestRetryAfterSurvivesRestarts(t *testing.T) {
	t.Parallel()
	const wait = 4 * time.Second
	server := bustest.StartServer(t)
	slack, apps := newSink(t), newCluster()
	slack.does(limited("4"))
	apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	first := start(t, connect(t, server.URL()), apps)
	first.announce("e1", failure("podinfo"))
	eventually(t, "an attempt", func() bool { return len(slack.got()) == 1 })
	first.stop()
	first.bus.Close()
	server.Stop()
	slack.does(nil)
	server.Start(t)
	start(t, connect(t, server.URL()), apps)
	eventually(t, "the next attempt", func() bool { return len(slack.got()) == 2 })
	if waited := slack.apart(); waited < wait {
		t.Errorf("waited %s, Slack asked for %s", waited, wait)
	}
}

// TestPausedProviderCostsNothing: while a target has asked to wait, what is queued for it is not looked at again and again.
func TestPausedProviderCostsNothing(t *testing.T) {
	t.Parallel()
	const events = 60
	b := memory.New()
	t.Cleanup(b.Close)
	slack, apps := newSink(t), newCluster()
	var asked, taken atomic.Int64
	slack.does(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			limited("1")(w, r)
			return
		}
		taken.Add(1)
	})
	apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	r := newRig(t, b, apps, clock.RealClock{})
	for i := range events {
		r.announce(fmt.Sprintf("e%d", i), failure(fmt.Sprintf("app-%d", i)))
	}
	r.run()
	eventually(t, "every notification", func() bool { return taken.Load() == events })
	if opened, sent := apps.opened(), len(slack.got()); opened > sent {
		t.Errorf("the Provider and its Secret were read %d times for %d requests", opened, sent)
	}
}

// TestPauseHoldsBackTheOthers: what is about other objects waits, too, until the time is over or the queue is stopped.
func TestPauseHoldsBackTheOthers(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	clk := clocktesting.NewFakeClock(time.Now())
	slack, apps := newSink(t), newCluster()
	slack.does(limited("600"))
	ref := apps.provider("chat", slackTo(slack))
	sender := newRig(t, b, apps, clk).sender
	sender.Handle(t.Context(), queued(t, ref, "e1", failure("podinfo")))
	slack.does(nil)
	stopped, stop := context.WithCancel(t.Context())
	stop()
	other := queued(t, ref, "e2", failure("other"))
	if v := sender.Handle(stopped, other); v.RetryAfter <= 0 || len(slack.got()) != 1 {
		t.Errorf("when stopped: verdict %+v after %d sends, want it to come again", v, len(slack.got()))
	}
	verdict := make(chan bus.Verdict, 1)
	go func() { verdict <- sender.Handle(t.Context(), other) }()
	eventually(t, "it waits", clk.HasWaiters)
	if len(slack.got()) != 1 {
		t.Error("it was sent although Slack had asked to wait")
	}
	clk.Step(11 * time.Minute)
	if v := <-verdict; v != bus.Done() || len(slack.got()) != 2 {
		t.Errorf("in time: verdict %+v after %d sends", v, len(slack.got()))
	}
}

// TestRetryAfterIsInTheLedger: when the broker never hears how long to wait and delivers again at once, to another
// process, that one waits.
func TestRetryAfterIsInTheLedger(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	clk := clocktesting.NewFakeClock(time.Now())
	slack, apps := newSink(t), newCluster()
	slack.does(limited("600"))
	ref := apps.provider("chat", slackTo(slack))
	d := queued(t, ref, "e1", failure("podinfo"))
	d.Stored = clk.Now()
	if v := newRig(t, b, apps, clk).sender.Handle(t.Context(), d); v.RetryAfter < 10*time.Minute {
		t.Fatalf("verdict %+v, want to wait for ten minutes", v)
	}
	clk.Step(time.Minute)
	second := newRig(t, b, apps, clk)
	if v := second.sender.Handle(t.Context(), d); v.RetryAfter < 9*time.Minute || len(slack.got()) != 1 {
		t.Errorf("a minute later: verdict %+v after %d sends, want to wait for the other nine", v, len(slack.got()))
	}
	clk.Step(10 * time.Minute)
	slack.does(nil)
	if v := second.sender.Handle(t.Context(), d); v != bus.Done() || len(slack.got()) != 2 {
		t.Errorf("in time: verdict %+v after %d sends", v, len(slack.got()))
	}
}

// TestBeyondTheWindow: an event that is announced again when the broker has forgotten its id is not sent again.
func TestBeyondTheWindow(t *testing.T) {
	t.Parallel()
	server := bustest.StartServer(t)
	b := connect(t, server.URL())
	slack, apps := newSink(t), newCluster()
	apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	first := start(t, b, apps)
	first.announce("e1", failure("podinfo"))
	eventually(t, "the notification", func() bool { return len(slack.got()) == 1 })
	first.stop()
	server.Stop()
	server.Start(t)
	second := start(t, b, apps)
	again := deliveryOf(t, "e1", failure("podinfo")).Message
	again.ID = "the broker takes it for another one"
	second.publish(bus.Events(), again)
	second.announce("e2", failure("other"))
	eventually(t, "the new one", func() bool { return strings.Contains(strings.Join(slack.got(), ""), "of other") })
	second.stop()
	if got := len(slack.got()); got != 2 {
		t.Errorf("Slack got %d messages, want 2", got)
	}
}

// TestChangedProviderGetsWhatWaits: an attempt uses the Provider as it is then.
func TestChangedProviderGetsWhatWaits(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	old, renewed, apps := newSink(t), newSink(t), newCluster()
	old.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	ref := apps.provider("chat", slackTo(old))
	r := newRig(t, b, apps, clock.RealClock{})
	d := queued(t, ref, "e1", failure("podinfo"))
	if v := r.sender.Handle(t.Context(), d); v.RetryAfter <= 0 {
		t.Fatalf("verdict %+v, want a retry", v)
	}
	apps.provider("chat", slackTo(renewed))
	if v := r.sender.Handle(t.Context(), d); v != bus.Done() || len(renewed.got()) != 1 || len(old.got()) != 1 {
		t.Errorf("verdict %+v, %d at the new address, %d at the old one", v, len(renewed.got()), len(old.got()))
	}
}

// TestWipedBrokerHearsItAgain: what NATS had stored and lost before it was delivered is announced again by the
// controller that it came from, and delivered.
func TestWipedBrokerHearsItAgain(t *testing.T) {
	t.Parallel()
	server := bustest.StartServer(t)
	slack, apps := newSink(t), newCluster()
	slack.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	start(t, connect(t, server.URL()), apps)
	out := startOutbox(t, connect(t, server.URL()), func(out *outbox.Outbox) { out.Announce("the-failure", failure("podinfo")) })
	eventually(t, "an attempt", func() bool { return len(slack.got()) >= 1 })
	server.Stop()
	server.Wipe(t)
	before := len(slack.got())
	slack.does(nil)
	server.Start(t)
	eventually(t, "the notification", func() bool { return len(slack.got()) > before })
	if waits := out.Pending(); waits != 0 {
		t.Errorf("%d events still wait to be published", waits)
	}
}

// TestFlappingBroker: events that are announced while NATS comes and goes arrive, each once.
func TestFlappingBroker(t *testing.T) {
	t.Parallel()
	const flaps, events = 3, 12
	server := bustest.StartServer(t)
	slack, apps := newSink(t), newCluster()
	apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	receiving, sending := connect(t, server.URL()), connect(t, server.URL())
	r := start(t, receiving, apps)
	announced := 0
	out := startOutbox(t, sending, func(*outbox.Outbox) {})
	announce := func() {
		out.Announce(fmt.Sprintf("e%d", announced), failure(fmt.Sprintf("app-%d", announced)))
		announced++
	}
	for range flaps {
		for range events {
			announce()
		}
		server.Stop()
		for range events {
			announce()
		}
		server.Start(t)
		eventually(t, "everybody is back", func() bool { return receiving.Connected() && sending.Connected() })
	}
	arrived := func() map[string]int {
		found := map[string]int{}
		for _, body := range slack.got() {
			_, text, _ := strings.Cut(body, "BuildFailed of ")
			name, _, _ := strings.Cut(text, `"`)
			found[name]++
		}
		return found
	}
	eventually(t, "every notification", func() bool { return len(arrived()) == announced })
	r.stop()
	for name, times := range arrived() {
		if times != 1 {
			t.Errorf("%s arrived %d times", name, times)
		}
	}
}

// outbox runs an outbox as a controller does.
func startOutbox(t *testing.T, b bus.Bus, again func(*outbox.Outbox)) *outbox.Outbox {
	t.Helper()
	var out *outbox.Outbox
	out = outbox.New(b, outbox.Options{Reannounce: func() { again(out) }})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = out.Start(ctx) }) // ends with ctx only
	t.Cleanup(func() { cancel(); running.Wait() })
	return out
}

// TestListOfQueuesIsWrittenAgain: when the broker has lost the list of queues, the next notification brings its Provider back.
func TestListOfQueuesIsWrittenAgain(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	slack, apps := newSink(t), newCluster()
	apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	r := start(t, b, apps)
	r.announce("e1", failure("podinfo"))
	eventually(t, "the first", func() bool { return len(slack.got()) == 1 })
	store, err := b.Store(t.Context(), "sluice-queues", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), "queues"); err != nil {
		t.Fatal(err)
	}
	before := apps.listed()
	r.queues.Wake()
	eventually(t, "a sweep that ends", func() bool { r.queues.Wake(); return apps.listed() > before+1 })
	r.announce("e2", recovery("podinfo"))
	eventually(t, "the second", func() bool { return len(slack.got()) == 2 })
	if entry, err := store.Get(t.Context(), "queues"); err != nil || !strings.Contains(string(entry.Value), "provider-chat") {
		t.Errorf("list of queues: %s, %v", entry.Value, err)
	}
}
