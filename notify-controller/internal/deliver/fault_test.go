package deliver_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/bustest"
	"github.com/sluice-gitops/sluice/api/bus/memory"
	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/notify-controller/internal/deadletter"
	"github.com/sluice-gitops/sluice/notify-controller/internal/deliver"
	"github.com/sluice-gitops/sluice/notify-controller/internal/measure"
	"github.com/sluice-gitops/sluice/notify-controller/internal/provider"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
	"github.com/sluice-gitops/sluice/notify-controller/internal/router"
)

// TestBrokerRestarts: what was stored before a restart of NATS is delivered after it, once; and so is what comes then.
func TestBrokerRestarts(t *testing.T) {
	t.Parallel()
	server := bustest.NewServer(t)
	b := connect(t, server.URL()) // before the server is up
	slack, apps := newSink(t), newCluster()
	slack.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	r := start(t, b, apps)
	server.Start(t)
	r.announce("e1", failure("podinfo"))
	eventually(t, "an attempt", func() bool { return len(slack.got()) >= 1 })
	server.Stop()
	before := len(slack.got())
	slack.does(nil)
	server.Start(t)
	r.announce("e1", failure("podinfo"))
	r.announce("e2", failure("other"))
	eventually(t, "both", func() bool {
		all := strings.Join(slack.got()[before:], "\n")
		return strings.Contains(all, "of podinfo") && strings.Contains(all, "of other")
	})
	r.stop()
	if got := slack.got()[before:]; len(got) != 2 {
		t.Errorf("Slack got %d messages after the restart, want 2: %v", len(got), got)
	}
}

// TestWipedBroker: a broker that lost everything is set up again, and what is announced then arrives.
func TestWipedBroker(t *testing.T) {
	t.Parallel()
	server := bustest.StartServer(t)
	b := connect(t, server.URL())
	slack, apps := newSink(t), newCluster()
	apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	r := start(t, b, apps)
	r.announce("e1", failure("podinfo"))
	eventually(t, "the first", func() bool { return len(slack.got()) == 1 })
	server.Stop()
	server.Wipe(t)
	server.Start(t)
	r.announce("e2", recovery("podinfo"))
	eventually(t, "the second", func() bool { return len(slack.got()) == 2 })
}

// TestCrashAroundSending kills the process that holds a delivery at each point, with a real broker, and has another one
// go on: the notification arrives at least once, and at most twice.
func TestCrashAroundSending(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		most   int
	}{
		"before-send": {reason: "claimed, but nothing was sent", most: 1},
		"after-send":  {reason: "sent, but not noted", most: 2},
	}
	for point, tc := range tests {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			server, slack := bustest.StartServer(t), newSink(t)
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashingProcess$")
			command.Env = append(os.Environ(), "SLUICE_CRASH="+point, "SLUICE_NATS="+server.URL(), "SLUICE_SINK="+slack.URL)
			if out, err := command.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("the first process should have been killed: %v\n%s", err, out)
			}
			apps := newCluster()
			apps.provider("chat", notificationv1beta3.ProviderSpec{Type: "slack", Address: slack.URL})
			apps.alert("all", "chat")
			r := start(t, connect(t, server.URL()), apps)
			r.announce("e2", failure("other"))
			arrived := func() int { return strings.Count(strings.Join(slack.got(), ""), "of podinfo") }
			wait := time.NewTimer(patience) // the broker waits for the process that died
			defer wait.Stop()
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for want := tc.most; arrived() < want; {
				select {
				case <-tick.C:
				case <-wait.C:
					t.Fatalf("%s: arrived %d times, want %d", tc.reason, arrived(), want)
				}
			}
			r.stop()
			if arrived() != tc.most {
				t.Errorf("%s: arrived %d times, want %d", tc.reason, arrived(), tc.most)
			}
		})
	}
}

// crashing kills its process around a send.
type crashing struct {
	provider.Provider
	point string
}

func (c crashing) Send(ctx context.Context, ev event.Event) error {
	var err error
	if c.point == "after-send" {
		err = c.Provider.Send(ctx, ev)
	}
	if err == nil {
		err = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return err
}

// TestCrashingProcess is the process that TestCrashAroundSending kills; on its own it does nothing.
func TestCrashingProcess(t *testing.T) {
	point := os.Getenv("SLUICE_CRASH")
	if point == "" {
		return
	}
	apps := newCluster()
	apps.wrap = func(p provider.Provider) provider.Provider { return crashing{p, point} }
	apps.provider("chat", notificationv1beta3.ProviderSpec{Type: "slack", Address: os.Getenv("SLUICE_SINK")})
	apps.alert("all", "chat")
	r := start(t, connect(t, os.Getenv("SLUICE_NATS")), apps)
	r.announce("e1", failure("podinfo"))
	eventually(t, "to be killed", func() bool { return false })
}

// TestLease: a claim of a process that may still be sending is respected, until its lease is over.
func TestLease(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	clk := clocktesting.NewFakeClock(time.Now())
	slack, apps := newSink(t), newCluster()
	ref := apps.provider("chat", slackTo(slack))
	first, second, third := newRig(t, b, apps, clk), newRig(t, b, apps, clk), newRig(t, b, apps, clk)
	d := queued(t, ref, "e1", failure("podinfo"))
	d.Stored = clk.Now()

	sending, finish := make(chan struct{}), make(chan struct{})
	slack.does(func(w http.ResponseWriter, _ *http.Request) {
		sending <- struct{}{}
		<-finish
		_, _ = io.WriteString(w, "ok")
	})
	var running sync.WaitGroup
	running.Go(func() { first.sender.Handle(t.Context(), d) })
	<-sending
	if v := second.sender.Handle(t.Context(), d); v.RetryAfter < time.Second || len(slack.got()) != 1 {
		t.Errorf("while another sends: verdict %+v after %d sends, want to wait for the lease", v, len(slack.got()))
	}
	close(finish)
	running.Wait()
	if v := third.sender.Handle(t.Context(), d); v != bus.Done() || len(slack.got()) != 1 {
		t.Errorf("after it was delivered: verdict %+v after %d sends", v, len(slack.got()))
	}
}

// TestNotedLater: when the broker is gone between sending and noting, this process remembers.
func TestNotedLater(t *testing.T) {
	t.Parallel()
	b := &failingStores{Bus: memory.New()}
	t.Cleanup(b.Close)
	slack, apps := newSink(t), newCluster()
	ref := apps.provider("chat", slackTo(slack))
	r := newRig(t, b, apps, clock.RealClock{})
	slack.does(func(w http.ResponseWriter, _ *http.Request) {
		b.failing.Store(true)
		_, _ = io.WriteString(w, "ok")
	})
	d := queued(t, ref, "e1", failure("podinfo"))
	if v := r.sender.Handle(t.Context(), d); v != bus.Done() {
		t.Errorf("verdict %+v, want done: it was sent", v)
	}
	b.failing.Store(false)
	if v := r.sender.Handle(t.Context(), d); v != bus.Done() || len(slack.got()) != 1 {
		t.Errorf("come up again: verdict %+v after %d sends, want one send", v, len(slack.got()))
	}
	restarted := newRig(t, b, apps, clock.RealClock{})
	if v := restarted.sender.Handle(t.Context(), d); v != bus.Done() || len(slack.got()) != 1 {
		t.Errorf("replayed to another process: verdict %+v after %d sends, want one send", v, len(slack.got()))
	}
}

// failingStores refuses to write while failing is set.
type failingStores struct {
	bus.Bus
	failing atomic.Bool
}

func (f *failingStores) Store(ctx context.Context, name string, ttl time.Duration) (bus.Store, error) {
	store, err := f.Bus.Store(ctx, name, ttl)
	return failingStore{store, f}, err
}

type failingStore struct {
	bus.Store
	bus *failingStores
}

func (f failingStore) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if f.bus.failing.Load() {
		return 0, bus.ErrUnavailable
	}
	return f.Store.Put(ctx, key, value, revision)
}

// TestExpires: after a day of failures a delivery is a dead letter, with the last failure.
func TestExpires(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	clk := clocktesting.NewFakeClock(time.Now())
	slack, apps := newSink(t), newCluster()
	slack.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	ref := apps.provider("chat", slackTo(slack))
	r := newRig(t, b, apps, clk)
	letters := r.deadLetters()
	d := queued(t, ref, "e1", failure("podinfo"))
	d.Stored = clk.Now()
	if v := r.sender.Handle(t.Context(), d); v.RetryAfter <= 0 {
		t.Fatalf("verdict %+v, want a retry", v)
	}
	clk.Step(25 * time.Hour)
	if v := r.sender.Handle(t.Context(), d); v != bus.Done() || len(slack.got()) != 1 {
		t.Errorf("verdict %+v after %d sends, want it given up", v, len(slack.got()))
	}
	if got := receive(t, letters).Header["Sluice-Reason"]; !strings.Contains(got, "24h") || !strings.Contains(got, "502 Bad Gateway") {
		t.Errorf("reason %q", got)
	}
}

// TestProviderDeleted: what waits for a deleted Provider becomes a dead letter at once, also when it was deleted while
// this controller was down; and its queue is removed.
func TestProviderDeleted(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b bus.Bus) {
		slack, apps := newSink(t), newCluster()
		slack.does(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		ref := apps.provider("chat", slackTo(slack))
		apps.alert("all", "chat")
		first := start(t, b, apps)
		first.announce("e1", failure("podinfo"))
		eventually(t, "an attempt", func() bool { return len(slack.got()) == 1 })
		first.stop()
		apps.remove(ref)
		second := start(t, b, apps)
		letter := receive(t, second.deadLetters())
		if got := letter.Header["Sluice-Reason"]; got != "the Provider was deleted" {
			t.Errorf("reason %q", got)
		}
	})
}

// TestQueueOfADeletedProviderIsRemoved, after the grace, with its consumer and its line in the roster.
func TestQueueOfADeletedProviderIsRemoved(t *testing.T) {
	t.Parallel()
	b := &forgetful{Bus: memory.New()}
	t.Cleanup(b.Close)
	clk := clocktesting.NewFakeClock(time.Now())
	slack, apps := newSink(t), newCluster()
	ref := apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	r := newRig(t, b, apps, clk)
	r.run()
	r.announce("e1", failure("podinfo"))
	eventually(t, "the notification", func() bool { return len(slack.got()) == 1 })
	apps.remove(ref)
	eventually(t, "the queue to begin anew", func() bool { r.queues.Wake(); return b.forgotten.Load() == 1 })
	clk.Step(6 * time.Minute)
	eventually(t, "the queue to go", func() bool { r.queues.Wake(); return b.forgotten.Load() == 2 })
	r.stop()
	store, err := b.Store(t.Context(), "sluice-queues", 0)
	if err != nil {
		t.Fatal(err)
	}
	if entry, err := store.Get(t.Context(), "queues"); err != nil || string(entry.Value) != "{}" {
		t.Errorf("list of queues: %s, %v", entry.Value, err)
	}
}

// TestProviderDeletedWhileTheBrokerIsAway: its queue is begun anew when the broker is back, and not tried in a loop.
func TestProviderDeletedWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	const sweeps = 5
	b := &forgetful{Bus: memory.New()}
	t.Cleanup(b.Close)
	slack, apps := newSink(t), newCluster()
	slack.does(limited("600"))
	ref := apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	r := start(t, b, apps)
	r.announce("e1", failure("podinfo"))
	eventually(t, "an attempt", func() bool { return len(slack.got()) == 1 })
	b.away.Store(true)
	apps.remove(ref)
	r.queues.Wake()
	eventually(t, "a first try", func() bool { return b.forgotten.Load() > 0 })
	before := apps.listed()
	for range sweeps {
		last := apps.listed()
		r.queues.Wake()
		eventually(t, "another sweep", func() bool { return apps.listed() > last })
	}
	if got := apps.listed() - before; got > 2*sweeps {
		t.Errorf("%d sweeps where %d were asked for", got, sweeps)
	}
	b.away.Store(false)
	r.queues.Wake()
	if got := receive(t, r.deadLetters()).Header["Sluice-Reason"]; got != "the Provider was deleted" {
		t.Errorf("reason %q", got)
	}
}

// forgetful counts forgotten consumers, and forgets none while it is away.
type forgetful struct {
	bus.Bus
	forgotten atomic.Int64
	away      atomic.Bool
}

func (f *forgetful) Forget(ctx context.Context, c bus.Consumer) error {
	f.forgotten.Add(1)
	if f.away.Load() {
		return bus.ErrUnavailable
	}
	return f.Bus.Forget(ctx, c)
}

// TestReplay: a consumer deleted by hand brings every event of the week again, and nobody hears of it.
func TestReplay(t *testing.T) {
	t.Parallel()
	server := bustest.StartServer(t)
	b := connect(t, server.URL())
	slack, apps := newSink(t), newCluster()
	apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	first := start(t, b, apps)
	for i := range 20 {
		first.announce(fmt.Sprintf("e%d", i), failure("podinfo"))
	}
	eventually(t, "all", func() bool { return len(slack.got()) == 20 })
	first.stop()
	if err := b.Forget(t.Context(), bus.Consumer{Stream: bus.Events(), Name: "notify-router"}); err != nil {
		t.Fatal(err)
	}
	second := start(t, b, apps)
	second.announce("last", failure("other"))
	eventually(t, "the new one", func() bool { return strings.Contains(strings.Join(slack.got(), ""), "of other") })
	second.stop()
	if got := len(slack.got()); got != 21 {
		t.Errorf("Slack got %d messages, want 21", got)
	}
}

// TestFullBroker: while the broker takes nothing, events wait in it, and are delivered when there is room.
func TestFullBroker(t *testing.T) {
	t.Parallel()
	b := &fullBroker{Bus: memory.New()}
	t.Cleanup(b.Close)
	slack, apps := newSink(t), newCluster()
	apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	b.full.Store(true)
	r := start(t, b, apps)
	r.announce("e1", failure("podinfo"))
	eventually(t, "an attempt", func() bool { return b.refused.Load() > 0 })
	b.full.Store(false)
	eventually(t, "the notification", func() bool { return len(slack.got()) == 1 })
}

// fullBroker refuses deliveries while full is set.
type fullBroker struct {
	bus.Bus
	full    atomic.Bool
	refused atomic.Int64
}

func (f *fullBroker) Publish(ctx context.Context, s bus.Stream, m bus.Message) error {
	if s.WorkQueue && f.full.Load() {
		f.refused.Add(1)
		return bus.ErrUnavailable
	}
	return f.Bus.Publish(ctx, s, m)
}

// TestOrder: a failure that is retried never overtakes the recovery that followed it.
func TestOrder(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	pagerduty, apps := newSink(t), newCluster()
	accepted := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }
	ref := apps.provider("pager", notificationv1beta3.ProviderSpec{Type: "pagerduty", Address: pagerduty.URL, Channel: "key-canary"})
	r := newRig(t, b, apps, clock.RealClock{})
	failed, recovered, again := queued(t, ref, "e1", failure("podinfo")), queued(t, ref, "e2", recovery("podinfo")), queued(t, ref, "e3", failure("podinfo"))

	pagerduty.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	if v := r.sender.Handle(t.Context(), failed); v.RetryAfter <= 0 {
		t.Fatalf("verdict %+v, want a retry", v)
	}
	pagerduty.does(accepted)
	for _, d := range []bus.Delivery{recovered, failed, again, recovered} {
		if v := r.sender.Handle(t.Context(), d); v != bus.Done() {
			t.Errorf("verdict %+v, want done", v)
		}
	}
	want := []string{"trigger uid-podinfo", "resolve uid-podinfo", "trigger uid-podinfo"}
	if got := pagerduty.actions(t); !slices.Equal(got, want) {
		t.Errorf("PagerDuty got %v, want %v: the first failed, the old failure is superseded", got, want)
	}
	noSecret(t, r.reports.all()...)
}

// TestOrderInAChat: of two notifications about one object that come up one after the other, the second is not sent before
// the first, however long that one's Provider takes to be read.
func TestOrderInAChat(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	slack, apps := newSink(t), newCluster()
	ref := apps.provider("chat", slackTo(slack))
	opening, read := make(chan struct{}, 2), make(chan struct{})
	slow := func(ctx context.Context, ref route.Ref) (deliver.Opened, error) {
		opening <- struct{}{}
		<-read
		return apps.Open(ctx, ref)
	}
	letters := &deadletter.Letters{Bus: b, Reports: &reports{}, Metrics: measure.New()}
	sender := deliver.NewSender(b, slow, letters, clock.RealClock{}, logr.Discard())
	var running sync.WaitGroup
	running.Go(func() { sender.Handle(t.Context(), queued(t, ref, "e1", failure("podinfo"))) })
	<-opening
	running.Go(func() { sender.Handle(t.Context(), queued(t, ref, "e2", recovery("podinfo"))) })
	select {
	case <-opening:
		t.Error("the second is under way before the first is sent")
	case <-time.After(quiet):
	}
	close(read)
	running.Wait()
	got := slack.got()
	if len(got) != 2 || !strings.Contains(got[0], "BuildFailed") || !strings.Contains(got[1], "ReconciliationSucceeded") {
		t.Errorf("Slack got %v", got)
	}
}

// queued is a delivery as the router would have stored it; ids in alphabetical order are stored in that order.
func queued(t *testing.T, ref interface{ String() string }, id string, ev event.Event) bus.Delivery {
	t.Helper()
	now := time.Now()
	name := strings.TrimPrefix(ref.String(), "apps/")
	body := fmt.Sprintf(`{"id":%q,"stored":%q,"alert":{"namespace":"apps","name":"all","uid":"alert-all"},`+
		`"provider":{"namespace":"apps","name":%q,"uid":"provider-%s"},"event":%s}`,
		id, now.Add(time.Duration(id[len(id)-1])*time.Second).Format(time.RFC3339Nano), name, name, encode(t, ev))
	return bus.Delivery{
		Message: bus.Message{Subject: "sluice.deliveries.provider-" + name, ID: id, Data: []byte(body)},
		Attempt: 1, Stored: now,
	}
}

func encode(t *testing.T, ev event.Event) string {
	t.Helper()
	env, err := event.Wrap("x", ev)
	if err != nil {
		t.Fatal(err)
	}
	return string(env.Data)
}

var _ router.Directory = &cluster{}
