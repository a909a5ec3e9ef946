package deliver

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

// TestTurns: who asks first is first, of one key; another key has turns of its own, and in the end nothing is held.
func TestTurns(t *testing.T) {
	const asking = 20
	var all turns
	first := all.take("a")
	all.take("b")()
	var order []int
	var running sync.WaitGroup
	for i := range asking {
		before := all.lastOf("a")
		running.Go(func() {
			defer all.take("a")()
			order = append(order, i)
		})
		for deadline := time.Now().Add(90 * time.Second); all.lastOf("a") == before; { // until it has asked
			if time.Now().After(deadline) {
				t.Fatal("it does not wait for its turn")
			}
			<-time.After(time.Millisecond)
		}
	}
	first()
	running.Wait()
	if !slices.IsSorted(order) || len(order) != asking || len(all.last) != 0 {
		t.Errorf("order %v, %d keys are held", order, len(all.last))
	}
}

func (t *turns) lastOf(key string) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last[key]
}

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
