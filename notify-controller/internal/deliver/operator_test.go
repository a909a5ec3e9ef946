package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/memory"
	"github.com/sluice-gitops/sluice/notify-controller/internal/deadletter"
	"github.com/sluice-gitops/sluice/notify-controller/internal/delivery"
	"github.com/sluice-gitops/sluice/notify-controller/internal/measure"
)

// What whoever operates notify-controller sees of it: its log and its metrics.

// TestLogTellsTheStory of a delivery, a retry with its reason, its end, and what is given up, each once.
func TestLogTellsTheStory(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	slack, apps := newSink(t), newCluster()
	apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	r := start(t, b, apps)
	says := func(text string) {
		t.Helper()
		eventually(t, text, func() bool { return strings.Contains(strings.Join(r.outcomes(), "\n"), text) })
	}
	r.announce("e1", failure("podinfo"))
	says("delivered to slack apps/chat: Kustomization/apps/podinfo BuildFailed")
	slack.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	r.announce("e2", recovery("podinfo"))
	eventually(t, "two attempts", func() bool { return len(slack.got()) == 3 })
	slack.does(nil)
	says("at attempt 3: Kustomization/apps/podinfo ReconciliationSucceeded")
	slack.does(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusGone)
		_, _ = io.WriteString(w, "channel_is_archived")
	})
	r.announce("e3", failure("podinfo"))
	says("kept as a dead letter")
	r.publish(bus.Events(), bus.Message{Subject: "sluice.events.x", ID: "p1", Data: []byte("{")})
	says("gave up a message")
	r.stop()
	const who = `"controllerKind"="Provider" "namespace"="apps" "name"="chat" "event"="e%d" "subject"="Kustomization/apps/podinfo" "reason"="%s" "provider"="apps/chat" "alert"="apps/all" "delivery"="[0-9a-f]{32}" `
	want := []string{
		`"msg"="delivered to slack apps/chat: Kustomization/apps/podinfo BuildFailed" ` + fmt.Sprintf(who, 1, "BuildFailed") + `"attempt"=1 "duration"="[0-9]+`,
		`"msg"="delivery to slack apps/chat failed, tried again in [0-9.]+m?s: the target answered 500 Internal Server Error: Kustomization/apps/podinfo ReconciliationSucceeded" ` +
			fmt.Sprintf(who, 2, "ReconciliationSucceeded") + `"attempt"=1 "after"="[0-9.]+m?s" "problem"="the target answered 500 Internal Server Error"`,
		`"msg"="delivered to slack apps/chat at attempt 3: Kustomization/apps/podinfo ReconciliationSucceeded" ` + fmt.Sprintf(who, 2, "ReconciliationSucceeded") + `"attempt"=3`,
		`"msg"="gave up delivery to slack apps/chat: the target answered 410 Gone \(channel_is_archived\): Kustomization/apps/podinfo BuildFailed; kept as a dead letter" ` +
			fmt.Sprintf(who, 3, "BuildFailed") + `"problem"="the target answered 410 Gone`,
		`"msg"="gave up a message on sluice.events.x: event: read event`,
	}
	got := r.outcomes()
	if len(got) != len(want) {
		t.Fatalf("logged\n%s", strings.Join(got, "\n"))
	}
	for i := range want {
		if !regexp.MustCompile(want[i]).MatchString(got[i]) {
			t.Errorf("line %d is\n%s\nwant\n%s", i, got[i], want[i])
		}
	}
	all := strings.Join(r.logged.all(), "\n")
	for _, decision := range []string{
		`"step"="Send" "rule"="Ready"`, `"step"="Finish" "rule"="Taken"`, `"step"="Wait" "rule"="Failed"`, `"step"="GiveUp" "rule"="Refused"`,
		`"msg"="routed Kustomization/apps/podinfo BuildFailed to 1 Alert"`,
	} {
		if !strings.Contains(all, decision) {
			t.Errorf("at debug there is no %s", decision)
		}
	}
}

// outcomes are the lines at info.
func (r *rig) outcomes() []string {
	return slices.DeleteFunc(r.logged.all(), func(line string) bool { return !strings.Contains(line, `"level"=0`) })
}

// TestLogOfTrouble that is neither the notification's nor the target's: once, and once that it is over. At error is what only
// whoever operates this controller can mend.
func TestLogOfTrouble(t *testing.T) {
	t.Parallel()
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "alerts"}, "", errors.New("no right to list them"))
	for name, tc := range map[string]struct {
		reason string
		err    error
		want   string
	}{
		"passes":    {"nobody has to do anything", errors.New("the cache is not filled"), `"level"=0 "msg"="failed to route Kustomization/apps/podinfo BuildFailed, tried again in 1`},
		"forbidden": {"somebody has to grant it", forbidden, `"msg"="failed to route Kustomization/apps/podinfo BuildFailed" "error"="list Alerts: alerts is forbidden`},
	} {
		t.Run(name, func(t *testing.T) {
			b := memory.New()
			t.Cleanup(b.Close)
			apps := newCluster()
			r := newRig(t, b, apps, clock.RealClock{})
			event := deliveryOf(t, "e1", failure("podinfo"))
			apps.fail(tc.err)
			for event.Attempt = 1; event.Attempt < 3; event.Attempt++ {
				r.router.Handle(t.Context(), event)
			}
			apps.fail(nil)
			r.router.Handle(t.Context(), event)
			got := slices.DeleteFunc(r.logged.all(), func(line string) bool { return strings.Contains(line, `"level"=1`) })
			if len(got) != 2 || !strings.Contains(got[0], tc.want) || !strings.Contains(got[1], `"msg"="recovered: routed Kustomization/apps/podinfo BuildFailed`) {
				t.Errorf("%s: logged\n%s", tc.reason, strings.Join(got, "\n"))
			}
		})
	}
}

// TestLogOfAProviderThatCannotBeRead is the same for the deliveries of a Provider.
func TestLogOfAProviderThatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	slack, apps := newSink(t), newCluster()
	ref := apps.provider("chat", slackTo(slack))
	r := newRig(t, b, apps, clock.RealClock{})
	apps.failOpen(apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "webhook", errors.New("no right")))
	for i := range 3 {
		r.sender.Handle(t.Context(), queued(t, ref, fmt.Sprintf("e%d", i), failure("podinfo")))
	}
	apps.failOpen(nil)
	r.sender.Handle(t.Context(), queued(t, ref, "e3", failure("podinfo")))
	got := slices.DeleteFunc(r.logged.all(), func(line string) bool { return strings.Contains(line, `"level"=1`) })
	want := []string{`"msg"="failed to begin deliveries to apps/chat" "error"=`, `"msg"="recovered: deliveries to apps/chat go on"`, `"msg"="delivered to apps/chat`}
	if len(got) != len(want) || !slices.EqualFunc(got, want, strings.Contains) {
		t.Errorf("logged\n%s", strings.Join(got, "\n"))
	}
}

// TestEverySeriesMoves drives what each of them measures.
func TestEverySeriesMoves(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b bus.Bus) {
		slack, gone, pager, apps := newSink(t), newSink(t), newSink(t), newCluster()
		kinds := map[types.UID]string{}
		for name, spec := range map[string]notificationv1beta3.ProviderSpec{
			"chat": slackTo(slack), "gone": genericTo(gone), "pager": {Type: "pagerduty", Address: pager.URL, Channel: "key"},
		} {
			kinds[apps.provider(name, spec).UID] = spec.Type
			apps.alert(name, name)
		}
		fails := func(status int) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
		}
		slack.does(fails(http.StatusInternalServerError))
		gone.does(fails(http.StatusGone))
		pager.does(func(w http.ResponseWriter, _ *http.Request) { // so that the recovery comes before the failure's next attempt
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		r := newRig(t, b, apps, clock.RealClock{})
		backlog := &measure.Backlog{
			Bus: b, Deliveries: delivery.Stream(), DeadLetters: deadletter.Stream(),
			Types: func(context.Context) (map[types.UID]string, error) { return kinds, nil },
		}
		registry := prometheus.NewPedanticRegistry()
		for _, c := range append(r.metrics.Collectors(), backlog) {
			registry.MustRegister(c)
		}
		r.run()
		moves := func(what string, is func(float64) bool) {
			t.Helper()
			eventually(t, what, func() bool { return is(series(t, registry)[what]) })
		}
		some, none := func(n float64) bool { return n > 0 }, func(n float64) bool { return n == 0 }
		r.announce("e1", failure("podinfo"))
		other := failure("podinfo")
		other.InvolvedObject.Kind = "HelmRelease"
		r.announce("e2", other)
		for _, what := range []string{
			`sluice_deliveries_pending{type="slack"}`, `sluice_deliveries_pending{type="pagerduty"}`,
			`sluice_deliveries_total{result="retried",type="slack"}`, `sluice_delivery_duration_seconds{result="failure",type="slack"}`,
			`sluice_deliveries_total{result="given_up",type="generic"}`, `sluice_dead_letters{}`,
			`sluice_events_routed_total{matched="true"}`, `sluice_events_routed_total{matched="false"}`,
		} {
			moves(what, some)
		}
		slack.does(nil)
		for _, what := range []string{
			`sluice_deliveries_total{result="delivered",type="slack"}`, `sluice_delivery_duration_seconds{result="success",type="slack"}`,
		} {
			moves(what, some)
		}
		moves(`sluice_deliveries_pending{type="slack"}`, none)
		pager.does(nil)
		r.announce("e3", recovery("podinfo"))
		moves(`sluice_deliveries_total{result="dropped",type="pagerduty"}`, some)
		moves(`sluice_deliveries_pending{type="pagerduty"}`, none)
	})
}

// series are the values of all series, of a histogram the count.
func series(t *testing.T, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			all[family.GetName()+labelsOf(m)] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

func labelsOf(m *dto.Metric) string {
	labels := map[string]string{}
	for _, pair := range m.GetLabel() {
		labels[pair.GetName()] = pair.GetValue()
	}
	text := make([]string, 0, len(labels))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		text = append(text, fmt.Sprintf("%s=%q", name, labels[name]))
	}
	return "{" + strings.Join(text, ",") + "}"
}

// TestBacklogWithoutABroker: no number is better than a wrong one, and the other metrics are scraped all the same.
func TestBacklogWithoutABroker(t *testing.T) {
	t.Parallel()
	backlog := &measure.Backlog{
		Bus: connect(t, "nats://127.0.0.1:1"), Deliveries: delivery.Stream(), DeadLetters: deadletter.Stream(),
		Types: func(context.Context) (map[types.UID]string, error) { return nil, nil },
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(backlog)
	started := time.Now()
	if got := series(t, registry); len(got) > 0 || time.Since(started) > 30*time.Second {
		t.Errorf("%v after %s", got, time.Since(started))
	}
}
