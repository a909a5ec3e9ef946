package deliver_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"

	"github.com/sluice-gitops/sluice/api/bus/memory"
	"github.com/sluice-gitops/sluice/api/event"
)

// TestReconciliationFinished: Alerts that Flux's users have written around "Reconciliation finished in …" get of a
// reconciliation's events what they would get with Flux. That event only moves commit statuses, where it says so: no chat gets
// it, and every machine does.
func TestReconciliationFinished(t *testing.T) {
	t.Parallel()
	lists := map[string]func(*notificationv1beta3.AlertSpec){
		"all":      func(*notificationv1beta3.AlertSpec) {},
		"included": func(s *notificationv1beta3.AlertSpec) { s.InclusionList = []string{"^Reconciliation finished.*"} },
		"excluded": func(s *notificationv1beta3.AlertSpec) { s.ExclusionList = []string{"^Reconciliation finished.*"} },
	}
	const changed, broken, finished = "Deployment/apps/web configured", "kustomize build failed", "Reconciliation finished in 1.2s, next run in 10m0s"
	says := func(severity, reason, message string, update bool) event.Event {
		ev := about("podinfo", severity, reason)
		ev.Message = message
		if update {
			ev.Metadata["kustomize.toolkit.fluxcd.io/commit_status"] = "update"
		}
		return ev
	}
	const info, failed = eventv1.EventSeverityInfo, eventv1.EventSeverityError
	for name, tc := range map[string]struct {
		reason string
		events []event.Event
		want   map[string][]string
	}{
		"a Kustomization that changed something": {
			reason: "its last event is for commit statuses",
			events: []event.Event{says(info, "Progressing", changed, false), says(info, "ReconciliationSucceeded", finished, true)},
			want: map[string][]string{
				"chat-all": {changed}, "chat-excluded": {changed}, "machine-all": {changed, finished},
				"machine-included": {finished}, "machine-excluded": {changed},
			},
		},
		"after a failure": {
			reason: "what changed says that it is over, and the last event is for commit statuses",
			events: []event.Event{
				says(failed, "BuildFailed", broken, false), says(info, "Progressing", changed, false),
				says(info, "ReconciliationSucceeded", finished, true),
			},
			want: map[string][]string{
				"chat-all": {broken, changed}, "chat-excluded": {broken, changed},
				"machine-all": {broken, changed, finished}, "machine-included": {finished}, "machine-excluded": {broken, changed},
			},
		},
		"without the mark": {
			reason: "it is like any other event",
			events: []event.Event{says(info, "ReconciliationSucceeded", finished, false)},
			want: map[string][]string{
				"chat-all": {finished}, "chat-included": {finished}, "machine-all": {finished}, "machine-included": {finished},
			},
		},
		"whoever had to say what changed was killed": {
			reason: "a chat that last heard of the failure hears that it is over, even if that is all that is left to say; later ones are no news",
			events: []event.Event{
				says(failed, "BuildFailed", broken, false), says(info, "ReconciliationSucceeded", finished, true),
				says(info, "ReconciliationSucceeded", finished+" again", true),
			},
			want: map[string][]string{
				"chat-all": {broken, finished}, "chat-included": {finished}, "chat-excluded": {broken},
				"machine-all": {broken, finished, finished + " again"}, "machine-included": {finished, finished + " again"}, "machine-excluded": {broken},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := memory.New()
			t.Cleanup(b.Close)
			apps, sinks := newCluster(), map[string]*sink{}
			for list, change := range lists {
				for kind, spec := range map[string]func(*sink) notificationv1beta3.ProviderSpec{"chat": slackTo, "machine": genericTo} {
					target := kind + "-" + list
					sinks[target] = newSink(t)
					apps.provider(target, spec(sinks[target]))
					apps.alert(target, target, change)
				}
			}
			r := start(t, b, apps)
			for i, ev := range tc.events {
				r.announce(fmt.Sprintf("e%d", i), ev)
				done := len(tc.want["machine-all"][:min(i+1, len(tc.want["machine-all"]))])
				eventually(t, "the machine that gets all", func() bool { return len(sinks["machine-all"].got()) >= done })
			}
			for target, s := range sinks {
				eventually(t, "what is for "+target, func() bool { return len(s.got()) >= len(tc.want[target]) })
			}
			r.stop()
			for target, s := range sinks {
				if got := s.got(); len(got) != len(tc.want[target]) || !slices.EqualFunc(got, tc.want[target], strings.Contains) {
					t.Errorf("%s: %s got %v, want %v", tc.reason, target, got, tc.want[target])
				}
			}
		})
	}
}

func genericTo(s *sink) notificationv1beta3.ProviderSpec {
	return notificationv1beta3.ProviderSpec{Type: "generic", Address: s.URL}
}
