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

var (
	objectsDesc = prometheus.NewDesc("sluice_objects", "Objects by the status of their Ready condition.", []string{"kind", "ready"}, nil)
	readyDesc   = prometheus.NewDesc("sluice_object_ready", "Ready condition of an object: 1 True, 0 False, -1 Unknown. Not ready ones come first where there are more than fit.",
		[]string{"kind", "namespace", "name"}, nil)
	omittedDesc = prometheus.NewDesc("sluice_object_ready_omitted", "Objects without a sluice_object_ready of their own.", []string{"kind"}, nil)
)

// Describe implements [prometheus.Collector].
func (r *Readiness) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{objectsDesc, readyDesc, omittedDesc} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (r *Readiness) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	for kind, list := range r.Kinds {
		objects := list()
		if err := r.Reader.List(ctx, objects, client.UnsafeDisableDeepCopy); err != nil {
			out <- prometheus.NewInvalidMetric(objectsDesc, err)
			continue
		}
		byStatus := readyBy(objects)
		send := func(d *prometheus.Desc, value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{kind}, labels...)...)
		}
		room := MaxReadiness
		for _, status := range []metav1.ConditionStatus{metav1.ConditionFalse, metav1.ConditionUnknown, metav1.ConditionTrue} {
			all := byStatus[status]
			send(objectsDesc, float64(len(all)), string(status))
			for _, key := range all[:min(room, len(all))] {
				send(readyDesc, readyValue[status], key.Namespace, key.Name)
			}
			room -= min(room, len(all))
		}
		send(omittedDesc, float64(max(0, apimeta.LenList(objects)-MaxReadiness)))
	}
}

var readyValue = map[metav1.ConditionStatus]float64{metav1.ConditionTrue: 1, metav1.ConditionFalse: 0, metav1.ConditionUnknown: -1}

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
