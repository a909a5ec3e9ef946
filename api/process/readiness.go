package process

import (
	"context"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// MaxReadiness is how many objects of a kind have a series of their own.
const MaxReadiness = 1000

// scrapeTimeout bounds the reading of a scrape; it comes from a cache.
const scrapeTimeout = 5 * time.Second

// Readiness measures, when it is scraped, how many objects of each kind are ready, and which are not:
//
//	sluice_objects{kind,ready}                   objects by the status of their Ready condition: True, False or Unknown
//	sluice_object_ready{kind,namespace,name}     1, 0, or -1 for Unknown, of MaxReadiness objects at most: those first that are not ready
//	sluice_object_ready_omitted{kind}            objects beyond that
//
// It holds nothing between scrapes, so an object that is gone is gone from here. It is safe for concurrent use.
type Readiness struct {
	// Reader is a cache: every scrape lists all objects.
	Reader client.Reader
	// Kinds are the kinds by name, each with an empty list.
	Kinds map[string]func() client.ObjectList
}

// readinessDescs are what is measured: the numbers by status, a series per object, and what has none.
func readinessDescs() (objects, ready, omitted *prometheus.Desc) {
	return prometheus.NewDesc("sluice_objects", "Objects by the status of their Ready condition.", []string{"kind", "ready"}, nil),
		prometheus.NewDesc("sluice_object_ready", "Ready condition of an object: 1 True, 0 False, -1 Unknown. Not ready ones come first where there are more than fit.",
			[]string{"kind", "namespace", "name"}, nil),
		prometheus.NewDesc("sluice_object_ready_omitted", "Objects without a sluice_object_ready of their own.", []string{"kind"}, nil)
}

// Describe implements [prometheus.Collector].
func (r *Readiness) Describe(out chan<- *prometheus.Desc) {
	objects, ready, omitted := readinessDescs()
	for _, d := range []*prometheus.Desc{objects, ready, omitted} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (r *Readiness) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	for kind, list := range r.Kinds {
		r.collect(ctx, kind, list(), out)
	}
}

func (r *Readiness) collect(ctx context.Context, kind string, list client.ObjectList, out chan<- prometheus.Metric) {
	objects, ready, omitted := readinessDescs()
	if err := r.Reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return // an invalid metric would fail the scrape of all the others
	}
	send := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{kind}, labels...)...)
	}
	byStatus, room := readyBy(list), MaxReadiness
	for _, of := range []struct {
		status metav1.ConditionStatus
		value  float64
	}{{metav1.ConditionFalse, 0}, {metav1.ConditionUnknown, -1}, {metav1.ConditionTrue, 1}} {
		keys := byStatus[of.status]
		send(objects, float64(len(keys)), string(of.status))
		shown := keys[:min(room, len(keys))]
		for _, key := range shown {
			send(ready, of.value, key.Namespace, key.Name)
		}
		room -= len(shown)
	}
	send(omitted, float64(max(0, apimeta.LenList(list)-MaxReadiness)))
}

// readyBy sorts the objects of a list by the status of their Ready condition.
func readyBy(list client.ObjectList) map[metav1.ConditionStatus][]client.ObjectKey {
	found := make(map[metav1.ConditionStatus][]client.ObjectKey)
	_ = apimeta.EachListItem(list, func(item runtime.Object) error { // what is no list has no items
		object, ok := item.(conditions.Getter)
		if !ok {
			return nil
		}
		status := metav1.ConditionUnknown
		if ready := apimeta.FindStatusCondition(object.GetConditions(), meta.ReadyCondition); ready != nil {
			status = ready.Status
		}
		found[status] = append(found[status], client.ObjectKeyFromObject(object))
		return nil
	})
	return found
}
