package deliver_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/bustest"
	"github.com/sluice-gitops/sluice/api/bus/memory"
	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/notify-controller/internal/delivery"
	"github.com/sluice-gitops/sluice/notify-controller/internal/provider"
)

// TestLargePoisonIsKept: what leaves no room for the reason beside it is kept as far as it fits, and holds up nothing.
func TestLargePoisonIsKept(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		stream bus.Stream
		m      bus.Message
	}{
		"event":    {"routing cannot read it", bus.Events(), bus.Message{Subject: "sluice.events.x", ID: "p1"}},
		"delivery": {"sending cannot read it", delivery.Stream(), bus.Message{Subject: "sluice.deliveries.provider-chat", ID: "p2"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := connect(t, bustest.StartServer(t, bustest.MaxPayload(64<<10)).URL()) // as in the chart
			slack, apps := newSink(t), newCluster()
			apps.provider("chat", slackTo(slack))
			apps.alert("all", "chat")
			r := start(t, b, apps)
			letters := r.deadLetters()
			tc.m.Data = bytes.Repeat([]byte("{"), 65_400)
			r.publish(tc.stream, tc.m)
			letter := receive(t, letters)
			if got := letter.Header["Sluice-Truncated"]; got != "65400" || len(letter.Data) == 0 || !bytes.HasPrefix(tc.m.Data, letter.Data) {
				t.Errorf("%s: kept %d bytes, said to be of %q", tc.reason, len(letter.Data), got)
			}
			r.announce("e1", failure("podinfo"))
			eventually(t, "what comes after", func() bool { return len(slack.got()) == 1 })
		})
	}
}

// panicking is a provider with a bug.
type panicking struct{ provider.Provider }

func (panicking) Send(context.Context, event.Event) error { panic("value-canary") }

// TestPanicIsNotForEver: what makes sending panic each time becomes a dead letter; what it panicked with shows nowhere,
// where it did in the log.
func TestPanicIsNotForEver(t *testing.T) {
	t.Parallel()
	b := memory.New()
	t.Cleanup(b.Close)
	slack, apps := newSink(t), newCluster()
	apps.timeout = 0
	apps.wrap = func(p provider.Provider) provider.Provider { return panicking{p} }
	apps.provider("chat", slackTo(slack))
	apps.alert("all", "chat")
	r := start(t, b, apps)
	r.announce("e1", failure("podinfo"))
	letter := receive(t, r.deadLetters())
	if got := letter.Header["Sluice-Reason"]; !strings.Contains(got, "panic") {
		t.Errorf("reason %q", got)
	}
	lines := strings.Join(r.logged.all(), "\n")
	if !strings.Contains(lines, "poison_test.go") {
		t.Errorf("the place is not logged: %s", lines)
	}
	noSecret(t, append(r.reports.all(), letter.Header["Sluice-Reason"], lines)...)
}
