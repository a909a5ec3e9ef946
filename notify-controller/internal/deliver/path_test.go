package deliver_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/memory"
	"github.com/sluice-gitops/sluice/api/event"
)

func TestEventReachesSlackOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b bus.Bus) {
		slack, other := newSink(t), newCluster()
		other.provider("chat", slackTo(slack))
		other.alert("all", "chat")
		r := start(t, b, other)
		r.announce("e1", failure("podinfo"))
		r.announce("e1", failure("podinfo"))
		r.announce("e2", recovery("podinfo"))
		eventually(t, "both notifications", func() bool { return len(slack.got()) >= 2 })
		r.announce("e1", failure("podinfo")) // as a controller does after its restart
		r.announce("e3", failure("other"))
		eventually(t, "the third", func() bool { return len(slack.got()) >= 3 })
		all := strings.Join(slack.got(), "\n")
		if len(slack.got()) != 3 || strings.Count(all, "BuildFailed of podinfo") != 1 || !strings.Contains(all, `"main@sha1:0123"`) {
			t.Errorf("Slack got %s", all)
		}
		if told := r.reports.all(); len(told) > 0 {
			t.Errorf("unexpected reports: %v", told)
		}
	})
}

// TestRetried: whatever passes is tried again until the target takes it, at the time it asked for.
func TestRetried(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason  string
		answer  http.HandlerFunc
		atLeast time.Duration
	}{
		"429 with Retry-After": {
			reason: "the wait is the one Slack asks for",
			answer: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "2")
				w.WriteHeader(http.StatusTooManyRequests)
			},
			atLeast: 2 * time.Second,
		},
		"500": {
			reason:  "a server error passes",
			answer:  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
			atLeast: 800 * time.Millisecond,
		},
		"ratelimited in a 200": {
			reason: "the Web API says 200 to everything",
			answer: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"ok":false,"error":"ratelimited"}`)
			},
			atLeast: 800 * time.Millisecond,
		},
		"closed connection": {
			reason:  "a broken connection passes",
			answer:  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			atLeast: 800 * time.Millisecond,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, b bus.Bus) {
				slack, apps := newSink(t), newCluster()
				slack.does(tc.answer)
				apps.provider("chat", slackTo(slack))
				apps.alert("all", "chat")
				r := start(t, b, apps)
				r.announce("e1", failure("podinfo"))
				eventually(t, "the first attempt", func() bool { return len(slack.got()) == 1 })
				slack.does(nil)
				eventually(t, "the second attempt", func() bool { return len(slack.got()) == 2 })
				if waited := slack.apart(); waited < tc.atLeast {
					t.Errorf("%s: waited %s, want at least %s", tc.reason, waited, tc.atLeast)
				}
				if told := r.reports.all(); len(told) > 0 {
					t.Errorf("%s: unexpected reports: %v", tc.reason, told)
				}
			})
		})
	}
}

// TestDeadLetters: what cannot be delivered is kept, reported, and names no credential.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	tests := map[string]struct {
		reason string
		answer http.HandlerFunc
		change func(*notificationv1beta3.ProviderSpec)
		want   string
	}{
		"revoked webhook":  {reason: "404 never passes", answer: status(404, "no_service"), want: "404 Not Found (no_service)"},
		"archived channel": {reason: "410 never passes", answer: status(410, "channel_is_archived"), want: "(channel_is_archived)"},
		"refused token":    {reason: "403 never passes", answer: status(403, "your token secret-canary is bad"), want: "403 Forbidden"},
		"not in channel":   {reason: "refused in a 200", answer: status(200, `{"ok":false,"error":"not_in_channel"}`), want: "not_in_channel"},
		"unserved type": {
			reason: "a type that is not served says so", want: `spec.type "teams" is not served`,
			change: func(spec *notificationv1beta3.ProviderSpec) { spec.Type = "teams" },
		},
		"unserved field": {
			reason: "a field that is not obeyed is no detail", want: "spec.proxy not served",
			change: func(spec *notificationv1beta3.ProviderSpec) { spec.Proxy = "http://proxy-canary" },
		},
		"bad address": {
			reason: "the address is a credential, and not repeated", want: "not an http or https URL",
			change: func(spec *notificationv1beta3.ProviderSpec) { spec.Address = "ftp://canary" },
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slack, apps := newSink(t), newCluster()
			slack.does(tc.answer)
			spec := slackTo(slack)
			if tc.change != nil {
				tc.change(&spec)
			}
			apps.provider("chat", spec)
			apps.alert("all", "chat")
			b := memory.New()
			t.Cleanup(b.Close)
			r := start(t, b, apps)
			letters := r.deadLetters()
			r.announce("e1", failure("podinfo"))
			letter := receive(t, letters)
			if got := letter.Header["Sluice-Reason"]; !strings.Contains(got, tc.want) {
				t.Errorf("%s: reason %q, want %q", tc.reason, got, tc.want)
			}
			eventually(t, "a report", func() bool { return len(r.reports.all()) == 1 })
			noSecret(t, append(r.reports.all(), letter.Header["Sluice-Reason"], string(letter.Data))...)
		})
	}
}

func TestPoisonIsKeptAndPassed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b bus.Bus) {
		slack, apps := newSink(t), newCluster()
		apps.provider("chat", slackTo(slack))
		apps.alert("all", "chat")
		r := start(t, b, apps)
		letters := r.deadLetters()
		r.publish(bus.Events(), bus.Message{Subject: "sluice.events.x", ID: "p1", Data: []byte("{")})
		r.publish(bus.Events(), bus.Message{
			Subject: "sluice.events.y", ID: "p2", Data: []byte(`{"involvedObject":7}`),
			Header: map[string]string{event.HeaderSpecVersion: "1.0"},
		})
		r.announce("e1", failure("podinfo"))
		for range 2 {
			if got := receive(t, letters).Header["Sluice-Reason"]; !strings.HasPrefix(got, "event: read event") {
				t.Errorf("reason %q", got)
			}
		}
		eventually(t, "what comes after", func() bool { return len(slack.got()) == 1 })
	})
}

func TestUnknownAlertsAreNotNoAlerts(t *testing.T) {
	t.Parallel()
	slack, apps := newSink(t), newCluster()
	apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	apps.fail(errors.New("the API server is away"))
	b := memory.New()
	t.Cleanup(b.Close)
	r := start(t, b, apps)
	r.announce("e1", failure("podinfo"))
	verdict := r.router.Handle(t.Context(), deliveryOf(t, "e2", failure("other")))
	if verdict.RetryAfter <= 0 {
		t.Errorf("verdict %+v, want a retry", verdict)
	}
	apps.fail(nil)
	eventually(t, "the notification", func() bool { return len(slack.got()) == 1 })
}

func TestNothingSelectsAnEvent(t *testing.T) {
	t.Parallel()
	slack, apps := newSink(t), newCluster()
	apps.provider("chat", slackTo(slack))
	b := memory.New()
	t.Cleanup(b.Close)
	r := start(t, b, apps)
	if verdict := r.router.Handle(t.Context(), deliveryOf(t, "e1", failure("podinfo"))); verdict != bus.Done() {
		t.Errorf("verdict %+v, want done", verdict)
	}
	apps.alert("late", "chat")
	r.announce("e1", failure("podinfo")) // the same transition, announced again
	r.announce("e2", recovery("podinfo"))
	eventually(t, "the new event", func() bool { return len(slack.got()) >= 1 })
	if got := slack.got(); len(got) != 1 || !strings.Contains(got[0], "ReconciliationSucceeded") {
		t.Errorf("an Alert got what was before it: %v", got)
	}
}

func deliveryOf(t *testing.T, id string, ev event.Event) bus.Delivery {
	t.Helper()
	env, err := event.Wrap(id, ev)
	if err != nil {
		t.Fatal(err)
	}
	return bus.Delivery{
		Message: bus.Message{Subject: env.Subject, ID: id, Header: env.Header, Data: env.Data},
		Attempt: 1, Stored: time.Now(),
	}
}

// TestProviderComesLater: an Alert and its Provider may come with one commit; one that never comes is reported.
func TestProviderComesLater(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	clk := clocktesting.NewFakeClock(time.Now())
	apps := newCluster()
	apps.alert("all", "chat")
	r := newRig(t, b, apps, clk)
	d := deliveryOf(t, "e1", failure("podinfo"))
	if v := r.router.Handle(t.Context(), d); v.RetryAfter <= 0 {
		t.Errorf("at first: verdict %+v, want a retry", v)
	}
	clk.Step(3 * time.Minute)
	if v := r.router.Handle(t.Context(), d); v != bus.Done() {
		t.Errorf("later: verdict %+v, want done", v)
	}
	if got := receive(t, r.deadLetters()).Header["Sluice-Reason"]; got != "the Provider does not exist" {
		t.Errorf("reason %q", got)
	}
	if told := r.reports.all(); len(told) != 1 {
		t.Errorf("reports: %v", told)
	}
}

// startForBoth has a chat and a machine told of everything.
func startForBoth(t *testing.T) (r *rig, chat, machine *sink) {
	t.Helper()
	b := memory.New()
	t.Cleanup(b.Close)
	chat, machine = newSink(t), newSink(t)
	apps := newCluster()
	apps.provider("chat", slackTo(chat))
	apps.provider("machine", notificationv1beta3.ProviderSpec{Type: "generic", Address: machine.URL})
	apps.alert("chat", "chat")
	apps.alert("machine", "machine")
	return start(t, b, apps), chat, machine
}

// TestChatsAreSparedStatusUpdates: an event that exists for commit statuses only is for machines.
func TestChatsAreSparedStatusUpdates(t *testing.T) {
	t.Parallel()
	r, chat, machine := startForBoth(t)
	update := recovery("podinfo")
	update.Metadata["kustomize.toolkit.fluxcd.io/commit_status"] = "update"
	r.announce("e1", update)
	r.announce("e2", failure("podinfo"))
	eventually(t, "both at the machine", func() bool { return len(machine.got()) == 2 })
	eventually(t, "one in the chat", func() bool { return len(chat.got()) == 1 })
	r.stop()
	if got := chat.got(); len(got) != 1 || !strings.Contains(got[0], "BuildFailed") {
		t.Errorf("the chat got %v", got)
	}
}

// TestRecoveryThatNobodyTold: a controller that is killed before it tells of a recovery announces the state when it is back,
// marked as nothing new. For a chat that last heard of the failure it is.
func TestRecoveryThatNobodyTold(t *testing.T) {
	t.Parallel()
	r, chat, machine := startForBoth(t)
	update := func() event.Event {
		ev := recovery("podinfo")
		ev.Metadata["kustomize.toolkit.fluxcd.io/commit_status"] = "update"
		return ev
	}
	told := 0
	for i, step := range []struct {
		event event.Event
		news  bool
	}{{failure("podinfo"), true}, {update(), true}, {update(), false}, {failure("podinfo"), true}, {recovery("podinfo"), true}, {update(), false}} {
		r.announce(fmt.Sprintf("e%d", i), step.event)
		eventually(t, "the machine gets it", func() bool { return len(machine.got()) == i+1 })
		if step.news {
			told++
		}
		eventually(t, "what is news is in the chat", func() bool { return len(chat.got()) == told })
	}
	r.stop()
	if got := chat.got(); len(got) != told {
		t.Errorf("the chat got %d messages, want %d: %v", len(got), told, got)
	}
}

// FuzzHandle: nothing that stands in a stream makes routing or sending panic.
func FuzzHandle(f *testing.F) {
	f.Add("1.0", []byte(`{"involvedObject":{"kind":"Kustomization","name":"a","namespace":"apps"},"reason":"b"}`))
	f.Add("1.0", []byte(`{"id":"a","provider":{"uid":"b"},"event":{"involvedObject":{"name":"c"}}}`))
	f.Add("0.3", []byte(`{`))
	f.Fuzz(func(t *testing.T, version string, data []byte) {
		b := memory.New()
		defer b.Close()
		apps := newCluster()
		apps.alert("all", "chat")
		r := newRig(t, b, apps, clock.RealClock{})
		d := bus.Delivery{
			Message: bus.Message{Subject: "sluice.events.x", Data: data, Header: map[string]string{event.HeaderSpecVersion: version}},
			Attempt: 1, Stored: time.Now(),
		}
		r.router.Handle(t.Context(), d)
		r.sender.Handle(t.Context(), d)
	})
}
