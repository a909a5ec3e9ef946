package controller

import (
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-gitops/sluice/render-controller/internal/plan"
)

func TestLosses(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	m := newMemory()
	m.clock = clock
	o := &observation{name: types.NamespacedName{Namespace: "apps", Name: "web"}}
	o.state.Subject.UID, o.artifact.Digest = "1", "sha256:a"
	if m.resting(o) != nil {
		t.Error("a subject that no worker was lost on rests")
	}
	var rests []float64
	for range 9 {
		rests = append(rests, m.lose(o, plan.Problem{Reason: "BuildFailed"}).Retry.Seconds())
	}
	if want := []float64{10, 20, 40, 80, 160, 320, 640, 900, 900}; !slices.Equal(rests, want) {
		t.Errorf("rests %v, want %v seconds", rests, want)
	}
	clock.SetTime(clock.Now().Add(14 * time.Minute))
	if resting := m.resting(o); resting == nil || resting.Retry != time.Minute || resting.Reason != "BuildFailed" {
		t.Errorf("a minute before its end a rest is %+v", resting)
	}
	other := *o
	other.artifact.Digest = "sha256:b"
	if m.resting(&other) != nil {
		t.Error("other inputs rest too")
	}
	clock.SetTime(clock.Now().Add(time.Minute))
	if m.resting(o) != nil {
		t.Error("the rest does not end")
	}
	if rest := m.lose(&other, plan.Problem{}).Retry; rest != firstRest {
		t.Errorf("the first rest with other inputs is %s", rest)
	}
	m.update(o.name, func(known *memo) { *known = memo{uid: "1"} })
	if m.resting(&other) != nil {
		t.Error("a subject that was rendered since rests")
	}
}
