package ingest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/notify-controller/internal/ingest"
	"github.com/sluice-gitops/sluice/notify-controller/internal/measure"
)

// TestWhatIsPostedIsCounted by what became of it, and that nothing can be stored is logged once, as is its end.
func TestWhatIsPostedIsCounted(t *testing.T) {
	var logged []string
	stored, metrics, registry := &stream{}, measure.New(), prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.Collectors()...)
	server := ingest.New(ingest.Options{
		Bus: stored, Interval: time.Minute, Clock: clocktesting.NewFakeClock(time.Now()), Metrics: metrics,
		Log: funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{}),
	})
	for i, err := range []error{nil, nil, bus.ErrUnavailable, bus.ErrUnavailable, nil} {
		stored.err = err
		post(t, server, body(i, "error", fmt.Sprint("failure ", max(i-1, 0)))) // the second repeats the first
	}
	post(t, server, "no JSON")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			got[family.GetName()+" "+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	want := map[string]float64{"stored": 2, "repeated": 1, "unavailable": 2, "refused": 1}
	for result, n := range want {
		if got["sluice_events_received_total "+result] != n {
			t.Errorf("%s: %v, want %v", result, got, n)
		}
	}
	said := []string{`"msg"="failed to store posted events, their senders are asked to try again: `, `"msg"="recovered: posted events are stored again"`}
	if !slices.EqualFunc(logged, said, strings.Contains) {
		t.Errorf("logged\n%s", strings.Join(logged, "\n"))
	}
}
