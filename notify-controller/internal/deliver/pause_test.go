package deliver

import (
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

// TestPause: a shorter one that is asked for beside a longer one does not end that.
func TestPause(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	target, stopped := route.Ref{UID: "chat"}, make(chan struct{})
	close(stopped)
	s := NewSender(nil, nil, nil, clk, logr.Discard())
	s.pause(target, clk.Now().Add(time.Minute))
	s.pause(target, clk.Now().Add(time.Second))
	clk.Step(2 * time.Second)
	if s.unpaused(stopped, target) {
		t.Error("it ends after the shorter one")
	}
	s.resume(target)
	if !s.unpaused(stopped, target) {
		t.Error("it does not end when it is ended")
	}
}
