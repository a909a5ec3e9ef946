package deliver

import "github.com/prometheus/client_golang/prometheus"

// Results of a delivery, as the label result says them.
const (
	resultDelivered  = "delivered"
	resultRetried    = "retried"
	resultSuperseded = "superseded"
	resultDead       = "dead"
)

// Metrics count what happens to notifications.
type Metrics struct {
	events     *prometheus.CounterVec
	deliveries *prometheus.CounterVec
}

// NewMetrics returns counters that are not registered yet.
func NewMetrics() *Metrics {
	return &Metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_notify_events_total",
			Help: "Events read from the bus, by result: routed, unmatched, repeated, refused, retried.",
		}, []string{"result"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_notify_deliveries_total",
			Help: "Attempts to deliver, by Provider and result: delivered, retried, superseded, dead.",
		}, []string{"provider", "result"}),
	}
}

// Collectors are the metrics, for the caller to register.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.events, m.deliveries}
}

func (m *Metrics) event(result string) { m.events.WithLabelValues(result).Inc() }

func (m *Metrics) delivery(provider, result string) {
	m.deliveries.WithLabelValues(provider, result).Inc()
}

func (m *Metrics) dead(provider string) { m.delivery(provider, resultDead) }

// forget drops the series of a Provider that is gone.
func (m *Metrics) forget(provider string) {
	m.deliveries.DeletePartialMatch(prometheus.Labels{"provider": provider})
}
