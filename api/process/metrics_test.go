package process_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// records is a cache that holds Renders with a Ready condition of the given statuses; the empty one is for no condition.
type records []metav1.ConditionStatus

func (r records) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return fmt.Errorf("nothing is read alone")
}

func (r records) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	renders, ok := list.(*v1alpha1.RenderList)
	if !ok {
		return fmt.Errorf("list of %T", list)
	}
	for i, status := range r {
		one := v1alpha1.Render{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: fmt.Sprintf("app-%d", i)}}
		if status != "" {
			one.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: status}}
		}
		renders.Items = append(renders.Items, one)
	}
	return nil
}

func readiness(held records) *process.Readiness {
	return &process.Readiness{Reader: held, Kinds: map[string]func() client.ObjectList{
		"Render": func() client.ObjectList { return &v1alpha1.RenderList{} },
	}}
}

func TestReadiness(t *testing.T) {
	want := `
# HELP sluice_object_ready Ready condition of an object: 1 True, 0 False, -1 Unknown. Not ready ones come first where there are more than fit.
# TYPE sluice_object_ready gauge
sluice_object_ready{kind="Render",name="app-0",namespace="team"} 1
sluice_object_ready{kind="Render",name="app-1",namespace="team"} 0
sluice_object_ready{kind="Render",name="app-2",namespace="team"} -1
# HELP sluice_object_ready_omitted Objects without a sluice_object_ready of their own.
# TYPE sluice_object_ready_omitted gauge
sluice_object_ready_omitted{kind="Render"} 0
# HELP sluice_objects Objects by the status of their Ready condition.
# TYPE sluice_objects gauge
sluice_objects{kind="Render",ready="False"} 1
sluice_objects{kind="Render",ready="True"} 1
sluice_objects{kind="Render",ready="Unknown"} 1
`
	if err := testutil.CollectAndCompare(readiness(records{metav1.ConditionTrue, metav1.ConditionFalse, ""}), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// TestReadinessIsBounded: a fleet of any size costs the monitoring system no more than MaxReadiness series, and what is broken is
// among them.
func TestReadinessIsBounded(t *testing.T) {
	held := make(records, process.MaxReadiness+7)
	for i := range held {
		held[i] = metav1.ConditionTrue
	}
	held[len(held)-1] = metav1.ConditionFalse
	if n := testutil.CollectAndCount(readiness(held), "sluice_object_ready"); n != process.MaxReadiness {
		t.Errorf("%d series, want %d", n, process.MaxReadiness)
	}
	want := `
# HELP sluice_object_ready_omitted Objects without a sluice_object_ready of their own.
# TYPE sluice_object_ready_omitted gauge
sluice_object_ready_omitted{kind="Render"} 7
`
	if err := testutil.CollectAndCompare(readiness(held), strings.NewReader(want), "sluice_object_ready_omitted"); err != nil {
		t.Error(err)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(readiness(held))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	last := fmt.Sprintf("app-%d", len(held)-1)
	for _, family := range families {
		if family.GetName() == "sluice_object_ready" && !strings.Contains(family.String(), last) {
			t.Errorf("the one that is not ready, %s, has no series", last)
		}
	}
}

func TestRegisterReplaces(t *testing.T) {
	counter := func() prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_register_replaces_total", Help: "A test's."})
	}
	first, second := counter(), counter()
	for _, c := range []prometheus.Counter{first, second} {
		if err := process.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	second.Inc()
	if n, err := testutil.GatherAndCount(metrics.Registry, "sluice_register_replaces_total"); n != 1 || err != nil {
		t.Errorf("%d series, %v", n, err)
	}
	if err := testutil.GatherAndCompare(metrics.Registry, strings.NewReader(`
# HELP sluice_register_replaces_total A test's.
# TYPE sluice_register_replaces_total counter
sluice_register_replaces_total 1
`), "sluice_register_replaces_total"); err != nil {
		t.Error(err)
	}
}

// TestReadinessFailsAlone: a kind that cannot be listed costs the scrape nothing but its own series.
func TestReadinessFailsAlone(t *testing.T) {
	r := readiness(records{metav1.ConditionTrue})
	r.Kinds["Sync"] = func() client.ObjectList { return &v1alpha1.SyncList{} }
	if n, err := testutil.GatherAndCount(gatherer(r), "sluice_object_ready"); n != 1 || err != nil {
		t.Errorf("%d series, %v", n, err)
	}
}

func gatherer(c prometheus.Collector) prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	return registry
}
