package deliver_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/bustest"
	"github.com/sluice-gitops/sluice/api/bus/jetstream"
	"github.com/sluice-gitops/sluice/api/bus/memory"
	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/notify-controller/internal/deadletter"
	"github.com/sluice-gitops/sluice/notify-controller/internal/deliver"
	"github.com/sluice-gitops/sluice/notify-controller/internal/ledger"
	"github.com/sluice-gitops/sluice/notify-controller/internal/measure"
	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
	"github.com/sluice-gitops/sluice/notify-controller/internal/provider"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
	"github.com/sluice-gitops/sluice/notify-controller/internal/router"
)

// patience is how long a test waits for what has to happen: many times what NATS gives a delivery that was lost with it.
const patience = 90 * time.Second

// quiet is how long a test waits for what must not happen.
const quiet = 300 * time.Millisecond

// onBoth runs a test on the bus in memory and on a real NATS server.
func onBoth(t *testing.T, test func(t *testing.T, b bus.Bus)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		b := memory.New()
		t.Cleanup(b.Close)
		test(t, b)
	})
	t.Run("nats", func(t *testing.T) {
		t.Parallel()
		test(t, connect(t, bustest.StartServer(t).URL()))
	})
}

func connect(t *testing.T, url string) bus.Bus {
	t.Helper()
	b, err := jetstream.Connect(t.Context(), jetstream.Options{URL: url, Name: "notify-controller"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// cluster is a router.Directory and deliver.Open over maps. Providers are built from specs as in production.
type cluster struct {
	mu       sync.Mutex
	rules    []*route.Rule
	specs    map[route.Ref]notificationv1beta3.ProviderSpec
	failWith error
	openWith error
	labels   map[string]string
	noLabels error
	secrets  map[string]provider.Secrets
	lists    int
	opens    int
	timeout  time.Duration
	wrap     func(provider.Provider) provider.Provider
}

func newCluster() *cluster {
	return &cluster{specs: map[route.Ref]notificationv1beta3.ProviderSpec{}, timeout: 2 * time.Second}
}

func (c *cluster) alert(name, providerName string, change ...func(*notificationv1beta3.AlertSpec)) {
	alert := &notificationv1beta3.Alert{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name, UID: types.UID("alert-" + name)}}
	alert.Spec = notificationv1beta3.AlertSpec{
		ProviderRef:  meta.LocalObjectReference{Name: providerName},
		EventSources: []notificationv1.CrossNamespaceObjectReference{{Kind: "Kustomization", Name: "*"}},
	}
	for _, do := range change {
		do(&alert.Spec)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules = append(c.rules, route.Compile(alert, access.Checker{}))
}

func (c *cluster) provider(name string, spec notificationv1beta3.ProviderSpec) route.Ref {
	ref := route.Ref{Namespace: "apps", Name: name, UID: types.UID("provider-" + name)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.specs[ref] = spec
	return ref
}

func (c *cluster) remove(ref route.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.specs, ref)
}

func (c *cluster) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failWith = err
}

// failOpen makes Providers unreadable for who sends.
func (c *cluster) failOpen(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.openWith = err
}

func (c *cluster) Rules(context.Context) ([]*route.Rule, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.rules), c.failWith
}

func (c *cluster) Target(_ context.Context, namespace, name string) (router.Target, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ref, spec := range c.specs {
		if ref.Namespace == namespace && ref.Name == name {
			return router.Target{Ref: ref, Type: spec.Type, Suspended: spec.Suspend, Problem: plan.Unserved(spec)}, nil
		}
	}
	return router.Target{}, provider.ErrNotFound
}

func (c *cluster) Labels(context.Context, corev1.ObjectReference) (map[string]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.labels, c.noLabels
}

// label gives every object the same labels, or an error when they are asked for.
func (c *cluster) label(labels map[string]string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.labels, c.noLabels = labels, err
}

// listed is how often the Providers were listed.
func (c *cluster) listed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lists
}

// opened is how often a Provider was opened.
func (c *cluster) opened() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opens
}

func (c *cluster) Providers(context.Context) ([]route.Ref, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists++
	var refs []route.Ref
	for ref := range c.specs {
		refs = append(refs, ref)
	}
	return refs, nil
}

func (c *cluster) Open(_ context.Context, ref route.Ref) (deliver.Opened, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opens++
	if c.openWith != nil {
		return deliver.Opened{}, c.openWith
	}
	spec, ok := c.specs[ref]
	if !ok {
		return deliver.Opened{}, provider.ErrNotFound
	}
	if spec.Suspend {
		return deliver.Opened{Suspended: true}, nil
	}
	built, err := provider.Build(spec, c.secrets[ref.Name])
	if err == nil && c.wrap != nil {
		built = c.wrap(built)
	}
	return deliver.Opened{Provider: built, Timeout: c.timeout}, err
}

// reports records what users would be told.
type reports struct {
	mu      sync.Mutex
	reasons []string
}

func (r *reports) Undelivered(_ route.Ref, _, reason string) { r.add(reason) }

func (r *reports) Conflicting(route.Ref, []string) { r.add("conflict") }

func (r *reports) Unknown(route.Ref, string, string) { r.add("unknown") }

func (r *reports) add(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reasons = append(r.reasons, reason)
}

func (r *reports) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.reasons)
}

// rig is the delivery path on a bus.
type rig struct {
	t       *testing.T
	bus     bus.Bus
	cluster *cluster
	reports *reports
	metrics *measure.Metrics
	logged  *logged
	sender  *deliver.Sender
	queues  *deliver.Queues
	router  *router.Router
	stop    func()
}

func newRig(t *testing.T, b bus.Bus, c *cluster, clk clock.WithTicker) *rig {
	t.Helper()
	told, lines, metrics := &reports{}, &logged{}, measure.New()
	log := funcr.New(lines.add, funcr.Options{Verbosity: 10})
	letters := &deadletter.Letters{Bus: b, Reports: told, Metrics: metrics, Log: log}
	list := ledger.NewQueues(b)
	sender := deliver.NewSender(b, c.Open, letters, clk, log)
	return &rig{
		t: t, bus: b, cluster: c, reports: told, metrics: metrics, logged: lines, sender: sender,
		queues: deliver.NewQueues(b, c.Providers, list, sender, 4, clk, log),
		router: router.New(b, c, letters, list, clk, log),
	}
}

// logged keeps what was logged.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) add(prefix, args string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, prefix+" "+args)
}

func (l *logged) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// start runs the rig until the test ends or stop is called.
func start(t *testing.T, b bus.Bus, c *cluster) *rig {
	t.Helper()
	r := newRig(t, b, c, clock.RealClock{})
	r.run()
	return r
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.queues.Start(ctx) }) // ends with ctx only
	running.Go(func() { _ = r.router.Start(ctx) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	r.t.Cleanup(r.stop)
}

// announce publishes an event as a controller does.
func (r *rig) announce(id string, ev event.Event) {
	r.t.Helper()
	env, err := event.Wrap(id, ev)
	if err != nil {
		r.t.Fatal(err)
	}
	r.publish(bus.Events(), bus.Message{Subject: env.Subject, ID: id, Header: env.Header, Data: env.Data})
}

func (r *rig) publish(stream bus.Stream, m bus.Message) {
	r.t.Helper()
	eventually(r.t, "publish "+m.ID, func() bool { return r.bus.Publish(r.t.Context(), stream, m) == nil })
}

// deadLetters passes on the reason and subject of everything in the stream of dead letters.
func (r *rig) deadLetters() <-chan bus.Delivery {
	found := make(chan bus.Delivery, 100)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		consumer := bus.Consumer{Stream: deadletter.Stream(), Name: "test", Parallel: 1}
		_ = r.bus.Consume(ctx, consumer, func(_ context.Context, d bus.Delivery) bus.Verdict {
			found <- d
			return bus.Done()
		})
	}()
	r.t.Cleanup(func() { cancel(); <-done })
	return found
}

func failure(name string) event.Event { return about(name, eventv1.EventSeverityError, "BuildFailed") }

func recovery(name string) event.Event {
	return about(name, eventv1.EventSeverityInfo, "ReconciliationSucceeded")
}

func about(name, severity, reason string) event.Event {
	return event.Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Namespace: "apps", Name: name,
			UID: types.UID("uid-" + name),
		},
		Severity: severity, Reason: reason, Message: reason + " of " + name,
		Timestamp:           metav1.NewTime(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)),
		ReportingController: "sync-controller",
		Metadata:            map[string]string{"kustomize.toolkit.fluxcd.io/revision": "main@sha1:0123"},
	}
}

// sink is a service that answers as told and records what it took.
type sink struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc
	bodies []string
	times  []time.Time
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.bodies, s.times = append(s.bodies, string(body)), append(s.times, time.Now())
		answer := s.answer
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) does(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *sink) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bodies)
}

// apart is how long after the first request the second came.
func (s *sink) apart() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.times[1].Sub(s.times[0])
}

func (s *sink) actions(t *testing.T) []string {
	t.Helper()
	var actions []string
	for _, body := range s.got() {
		var message struct {
			Action string `json:"event_action"`
			Key    string `json:"dedup_key"`
		}
		if err := json.Unmarshal([]byte(body), &message); err != nil {
			t.Fatal(err)
		}
		if message.Action != "" {
			actions = append(actions, message.Action+" "+message.Key)
		}
	}
	return actions
}

func slackTo(s *sink) notificationv1beta3.ProviderSpec {
	return notificationv1beta3.ProviderSpec{Type: "slack", Address: s.URL + "/services/T/B/secret-canary"}
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func receive(t *testing.T, from <-chan bus.Delivery) bus.Delivery {
	t.Helper()
	select {
	case d := <-from:
		return d
	case <-time.After(patience):
		t.Fatal("waited in vain for a dead letter")
		return bus.Delivery{}
	}
}

func noSecret(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(text, "canary") {
			t.Errorf("a credential shows in %q", text)
		}
	}
}
