package controller_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/bustest"
	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/notify-controller/internal/controller"
)

// patience is how long a test waits for what has to happen.
const patience = 90 * time.Second

func TestEventReachesSlackThroughASecret(t *testing.T) {
	ns, slack := namespace(t), newSink(t)
	create(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "webhook"},
		StringData: map[string]string{"address": slack.URL + "/services/url-canary"},
	})
	create(t, provider(ns, "chat", func(s *notificationv1beta3.ProviderSpec) {
		s.SecretRef = &meta.LocalObjectReference{Name: "webhook"}
	}))
	create(t, alert(ns, "all", "chat"))
	settled(t, ns, slack)
	announce(t, ns, "podinfo", "broken")
	eventually(t, "the notification", func() bool { return slack.saw("broken") == 1 })
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, family := range families {
		names = append(names, family.GetName())
	}
	for _, want := range []string{"sluice_deliveries_total", "sluice_deliveries_pending", "sluice_dead_letters", "sluice_events_routed_total"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among the metrics", want)
		}
	}
}

func TestChangedSecretCountsAtOnce(t *testing.T) {
	ns, old, renewed := namespace(t), newSink(t), newSink(t)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "webhook"},
		StringData: map[string]string{"address": old.URL},
	}
	create(t, secret)
	create(t, provider(ns, "chat", func(s *notificationv1beta3.ProviderSpec) {
		s.SecretRef = &meta.LocalObjectReference{Name: "webhook"}
	}))
	create(t, alert(ns, "all", "chat"))
	settled(t, ns, old)
	secret.StringData = map[string]string{"address": renewed.URL}
	if err := shared.client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	announce(t, ns, "podinfo", "broken")
	eventually(t, "the notification at the new address", func() bool { return renewed.saw("broken") == 1 })
}

// TestSaidOnTheObject: what cannot work is an Event on the Alert or Provider, and names no credential.
func TestSaidOnTheObject(t *testing.T) {
	address := "http://127.0.0.1:1/canary"
	tests := map[string]struct {
		reason   string
		provider func(*notificationv1beta3.ProviderSpec)
		alert    func(*notificationv1beta3.AlertSpec)
		on       string
		event    string
		message  string
	}{
		"unserved type": {
			reason:   "said as soon as it is written",
			provider: func(s *notificationv1beta3.ProviderSpec) { s.Type = "telegram" },
			on:       "Provider", event: "InvalidConfig", message: `spec.type "telegram" is not served`,
		},
		"unserved type, used": {
			reason:   "and for each notification that is lost by it",
			provider: func(s *notificationv1beta3.ProviderSpec) { s.Type = "telegram" },
			on:       "Alert", event: "NotificationDispatchFailed", message: `/chat could not be delivered: spec.type "telegram" is not served`,
		},
		"timeout that does not decode": {
			reason:   "the CRD's pattern allows it, and it must not stop all others",
			provider: func(s *notificationv1beta3.ProviderSpec) { s.Channel = "overflow" },
			on:       "Provider", event: "InvalidConfig", message: "the Provider does not decode",
		},
		"no Secret": {
			reason:   "it names the Secret",
			provider: func(s *notificationv1beta3.ProviderSpec) { s.SecretRef = &meta.LocalObjectReference{Name: "absent"} },
			on:       "Alert", event: "NotificationDispatchFailed", message: "/absent of spec.secretRef does not exist",
		},
		"bad pattern": {
			reason: "said as soon as it is written",
			alert:  func(s *notificationv1beta3.AlertSpec) { s.ExclusionList = []string{"("} },
			on:     "Alert", event: "InvalidConfig", message: "spec.exclusionList[0]: error parsing regexp",
		},
		"bad pattern, used": {
			reason: "never silence",
			alert:  func(s *notificationv1beta3.AlertSpec) { s.ExclusionList = []string{"("} },
			on:     "Alert", event: "NotificationDispatchFailed", message: "the Alert is invalid: spec.exclusionList[0]",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			p, a := provider(ns, "chat", func(s *notificationv1beta3.ProviderSpec) { s.Address = address }), alert(ns, "all", "chat")
			if tc.provider != nil {
				tc.provider(&p.Spec)
			}
			if tc.alert != nil {
				tc.alert(&a.Spec)
			}
			create(t, overflowing(t, p))
			create(t, a)
			healthy := newSink(t)
			create(t, provider(ns, "healthy", func(s *notificationv1beta3.ProviderSpec) { s.Address = healthy.URL }))
			create(t, alert(ns, "healthy", "healthy"))
			settled(t, ns, healthy)
			announce(t, ns, "podinfo", "broken")
			eventually(t, tc.reason, func() bool { return said(t, ns, tc.on, tc.event, tc.message) })
			eventually(t, "others go on", func() bool { return healthy.saw("broken") == 1 })
		})
	}
}

// overflowing gives a Provider marked by its channel a timeout that its CRD takes and Go does not.
func overflowing(t *testing.T, p *notificationv1beta3.Provider) client.Object {
	t.Helper()
	if p.Spec.Channel != "overflow" {
		return p
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": notificationv1beta3.GroupVersion.String(), "kind": "Provider",
		"metadata": map[string]any{"namespace": p.Namespace, "name": p.Name},
		"spec":     map[string]any{"type": "slack", "timeout": "99999999999999999999m"},
	}}
}

func TestMatchLabels(t *testing.T) {
	ns, slack := namespace(t), newSink(t)
	create(t, provider(ns, "chat", func(s *notificationv1beta3.ProviderSpec) { s.Address = slack.URL }))
	create(t, alert(ns, "team-a", "chat", func(s *notificationv1beta3.AlertSpec) {
		s.EventSources[0].MatchLabels = map[string]string{"team": "a"}
	}))
	for _, team := range []string{"a", "b"} {
		create(t, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
			"metadata": map[string]any{"namespace": ns, "name": "app-" + team, "labels": map[string]any{"team": team}},
			"spec": map[string]any{
				"interval": "1h", "prune": true, "sourceRef": map[string]any{"kind": "GitRepository", "name": "x"},
			},
		}})
	}
	eventually(t, "the Alert is known", func() bool {
		announce(t, ns, "app-a", "first")
		return slack.saw("first") > 0
	})
	announce(t, ns, "app-b", "of b")
	announce(t, ns, "gone", "of nobody")
	announce(t, ns, "app-a", "of a")
	eventually(t, "the one of team a", func() bool { return slack.saw("of a") == 1 })
	if slack.saw("of b")+slack.saw("of nobody") != 0 {
		t.Error("another team's events came, too")
	}
}

func TestDeletedProvider(t *testing.T) {
	ns, slack := namespace(t), newSink(t)
	p := provider(ns, "chat", func(s *notificationv1beta3.ProviderSpec) { s.Address = slack.URL })
	create(t, p)
	create(t, alert(ns, "all", "chat"))
	settled(t, ns, slack)
	slack.does(func(w http.ResponseWriter, _ *http.Request) {
		if slack.saw("broken") == 0 {
			return // one that settled sent; a 429 to it would hold back all others
		}
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	announce(t, ns, "podinfo", "broken")
	eventually(t, "an attempt", func() bool { return slack.saw("broken") == 1 })
	if err := shared.client.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a dead letter, not in ten minutes but now", func() bool {
		return said(t, ns, "Alert", "NotificationDispatchFailed", "the Provider was deleted")
	})
}

// TestReadiness: without NATS the process is alive but not ready, and gets ready when NATS comes.
func TestReadiness(t *testing.T) {
	nats := bustest.NewServer(t)
	address := freeAddress(t)
	mgr, err := ctrl.NewManager(shared.env.Config, ctrl.Options{
		Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: address,
	})
	if err != nil {
		t.Fatal(err)
	}
	settings := process.Settings{Name: "notify-controller", NATSURL: nats.URL()}
	messages, disconnect, err := settings.Connect(t.Context(), mgr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(disconnect)
	if _, err := controller.Bus(mgr, messages); err != nil {
		t.Fatal(err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(t.Context()) }()
	probe := func(path string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := (&http.Client{Timeout: patience}).Do(request)
		if err != nil {
			return 0
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	eventually(t, "alive", func() bool { return probe("/healthz") == 200 })
	if got := probe("/readyz"); got != 500 {
		t.Errorf("ready without NATS: %d", got)
	}
	nats.Start(t)
	eventually(t, "ready", func() bool { return probe("/readyz") == 200 })
	nats.Stop()
	eventually(t, "not ready again", func() bool { return probe("/readyz") == 500 })
	if got := probe("/healthz"); got != 200 {
		t.Errorf("alive without NATS: %d", got)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func namespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "notify-"}}
	create(t, ns)
	return ns.Name
}

func create(t *testing.T, object client.Object) {
	t.Helper()
	if err := shared.client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

func provider(ns, name string, change func(*notificationv1beta3.ProviderSpec)) *notificationv1beta3.Provider {
	p := &notificationv1beta3.Provider{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	p.Spec.Type = "slack"
	change(&p.Spec)
	return p
}

func alert(ns, name, providerName string, change ...func(*notificationv1beta3.AlertSpec)) *notificationv1beta3.Alert {
	a := &notificationv1beta3.Alert{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	a.Spec = notificationv1beta3.AlertSpec{
		ProviderRef:  meta.LocalObjectReference{Name: providerName},
		EventSources: []notificationv1.CrossNamespaceObjectReference{{Kind: "Kustomization", Name: "*"}},
	}
	for _, do := range change {
		do(&a.Spec)
	}
	return a
}

// announce publishes an event of its own id.
func announce(t *testing.T, ns, name, message string) {
	t.Helper()
	id := fmt.Sprintf("%s/%s/%s/%d", ns, name, message, time.Now().UnixNano())
	env, err := event.Wrap(id, event.Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Namespace: ns, Name: name,
		},
		Severity: "error", Reason: "BuildFailed", Message: message, ReportingController: "sync-controller",
		Timestamp: metav1.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	m := bus.Message{Subject: env.Subject, ID: id, Header: env.Header, Data: env.Data}
	if err := shared.bus.Publish(t.Context(), bus.Events(), m); err != nil {
		t.Fatal(err)
	}
}

// settled waits until the controller has seen the Alerts of a namespace, the one of the sink created last.
func settled(t *testing.T, ns string, last *sink) {
	t.Helper()
	eventually(t, "the Alert is known", func() bool {
		announce(t, ns, "settle", "settling")
		return last.saw("settling") > 0
	})
}

// said reports whether an Event on an object of a kind is there; no Event may hold a canary.
func said(t *testing.T, ns, kind, reason, message string) bool {
	t.Helper()
	var events corev1.EventList
	if err := shared.client.List(t.Context(), &events, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, ev := range events.Items {
		if strings.Contains(ev.Message, "canary") {
			t.Errorf("a credential shows in %q", ev.Message)
		}
		if ev.Type == corev1.EventTypeWarning && ev.InvolvedObject.Kind == kind && ev.Reason == reason &&
			strings.Contains(ev.Message, message) && ev.Source.Component == controller.Name {
			found = true
		}
	}
	return found
}

// sink is a Slack webhook that answers as told.
type sink struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc
	bodies []string
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.bodies = append(s.bodies, string(body))
		answer := s.answer
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) does(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// saw counts the messages with a text.
func (s *sink) saw(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(s.bodies), func(body string) bool { return !strings.Contains(body, text) }))
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
