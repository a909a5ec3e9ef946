package outbox

import "github.com/prometheus/client_golang/prometheus"

// Values of the label reason of sluice_outbox_dropped_total.
const (
	droppedCollapsed = "collapsed" // a newer event of the same object took its place
	droppedFull      = "full"      // announced again once the outbox is empty
	droppedRejected  = "rejected"  // too large, malformed, or refused by the broker
)

type metrics struct {
	pending, oldest prometheus.GaugeFunc
	published       prometheus.Counter
	dropped         *prometheus.CounterVec
}

func newMetrics(o *Outbox) *metrics {
	m := &metrics{
		pending: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sluice_outbox_pending",
			Help: "Events that wait to be published.",
		}, func() float64 { return float64(o.Pending()) }),
		oldest: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sluice_outbox_oldest_seconds",
			Help: "How long the oldest waiting event has waited.",
		}, func() float64 { return o.Oldest().Seconds() }),
		published: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_outbox_published_total",
			Help: "Events that the bus has stored.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_outbox_dropped_total",
			Help: "Events that were given up, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{droppedCollapsed, droppedFull, droppedRejected} {
		m.dropped.WithLabelValues(reason)
	}
	return m
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.pending, m.oldest, m.published, m.dropped}
}
