package deliver_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/memory"
)

// hang makes a sink answer nobody until released.
func hang(s *sink) (release func()) {
	released := make(chan struct{})
	s.does(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-released:
		case <-r.Context().Done():
		}
	})
	return func() { close(released) }
}

// TestSlowProviderDelaysNobody: one that hangs holds up only its own queue, whatever the events are about.
func TestSlowProviderDelaysNobody(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b bus.Bus) {
		const events = 100
		slack, hung, apps := newSink(t), newSink(t), newCluster()
		apps.timeout = 2 * time.Minute
		release := hang(hung)
		apps.provider("hung", slackTo(hung))
		apps.provider("chat", slackTo(slack))
		apps.alert("hung", "hung")
		apps.alert("chat", "chat")
		r := start(t, b, apps)
		t.Cleanup(release)
		for i := range events {
			r.announce(fmt.Sprintf("e%d", i), failure(fmt.Sprintf("app-%d", i)))
		}
		eventually(t, "all of the healthy Provider's", func() bool { return len(slack.got()) == events })
	})
}

// TestDeletedSlowProviderDelaysNobody: while the last send to a deleted Provider hangs, a new one gets its queue.
func TestDeletedSlowProviderDelaysNobody(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	slack, hung, apps := newSink(t), newSink(t), newCluster()
	apps.timeout = 2 * time.Minute
	release := hang(hung)
	ref := apps.provider("hung", slackTo(hung))
	apps.alert("hung", "hung")
	r := start(t, b, apps)
	t.Cleanup(release)
	r.announce("e1", failure("podinfo"))
	eventually(t, "a send that hangs", func() bool { return len(hung.got()) == 1 })
	apps.remove(ref)
	before := apps.listed()
	r.queues.Wake()
	eventually(t, "the deletion is seen", func() bool { return apps.listed() > before })

	apps.provider("chat", slackTo(slack))
	apps.alert("chat", "chat")
	r.queues.Wake()
	r.announce("e2", failure("other"))
	eventually(t, "the notification to the new Provider", func() bool { return len(slack.got()) == 1 })
}

// TestProviderThatComesBack: one that is not listed for a moment, as when its label is changed twice, is served again.
func TestProviderThatComesBack(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	slack, apps := newSink(t), newCluster()
	ref := apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	r := start(t, b, apps)
	r.announce("e1", failure("podinfo"))
	eventually(t, "the first", func() bool { return len(slack.got()) == 1 })
	for range 3 {
		apps.remove(ref)
		before := apps.listed()
		r.queues.Wake()
		eventually(t, "it is missed", func() bool { return apps.listed() > before })
		apps.provider("chat", slackTo(slack))
		r.queues.Wake()
	}
	r.announce("e2", recovery("podinfo"))
	eventually(t, "the second", func() bool { return len(slack.got()) == 2 })
}

// TestAlertsAreRoutedIndependently: an Alert that cannot be decided yet, or whose Provider is not there, delays no other;
// once it can be, it gets the event, and the others get nothing twice.
func TestAlertsAreRoutedIndependently(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b bus.Bus) {
		apps := newCluster()
		sinks := map[string]*sink{}
		for _, name := range []string{"absent", "by-label", "chat"} {
			sinks[name] = newSink(t)
		}
		apps.label(nil, errors.New("forbidden"))
		apps.alert("absent", "absent")
		apps.alert("by-label", "by-label", func(spec *notificationv1beta3.AlertSpec) {
			spec.EventSources[0].MatchLabels = map[string]string{"team": "a"}
		})
		apps.alert("invalid", "chat", func(spec *notificationv1beta3.AlertSpec) { spec.InclusionList = []string{"("} })
		apps.alert("chat", "chat")
		apps.provider("by-label", slackTo(sinks["by-label"]))
		apps.provider("chat", slackTo(sinks["chat"]))
		r := start(t, b, apps)
		r.announce("e1", failure("podinfo"))
		eventually(t, "the one that nothing is wrong with", func() bool { return len(sinks["chat"].got()) == 1 })
		if told := r.reports.all(); slices.ContainsFunc(told, func(text string) bool { return strings.Contains(text, "invalid") }) {
			t.Errorf("reported %v: what is given up is said once, when the rest is routed", told)
		}
		apps.label(map[string]string{"team": "a"}, nil)
		apps.provider("absent", slackTo(sinks["absent"]))
		r.queues.Wake()
		for name, s := range sinks {
			eventually(t, "the one of "+name, func() bool { return len(s.got()) == 1 })
		}
		eventually(t, "a report of the invalid one", func() bool { return strings.Contains(strings.Join(r.reports.all(), "\n"), "inclusionList") })
		r.stop()
		for name, s := range sinks {
			if got := len(s.got()); got != 1 {
				t.Errorf("%s got %d notifications, want 1", name, got)
			}
		}
	})
}
