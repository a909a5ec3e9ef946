package retry_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-gitops/sluice/source-controller/internal/retry"
)

func TestLimiter(t *testing.T) {
	l := &retry.Limiter{Min: time.Second, Max: time.Hour}
	often := reconcile.Request{NamespacedName: types.NamespacedName{Name: "often"}}
	rarely := reconcile.Request{NamespacedName: types.NamespacedName{Name: "rarely"}}
	var a, b time.Duration
	for range 20 {
		_, a = l.Next(often, 10*time.Second)
		b = l.When(rarely)
	}
	if a != 10*time.Second || b != time.Hour {
		t.Errorf("after 20 failures: %s and %s, want the interval, and the longest delay", a, b)
	}
	if got := l.NumRequeues(often); got != 20 {
		t.Errorf("%d failures are remembered", got)
	}
	l.Forget(often)
	if failures, got := l.Next(often, time.Hour); got != time.Second || failures != 1 {
		t.Errorf("the first delay after a success is %s, and it counts as failure %d", got, failures)
	}
	if _, got := l.Next(rarely, time.Millisecond); got != time.Second {
		t.Errorf("a short interval makes the delay %s, shorter than the shortest", got)
	}
}
