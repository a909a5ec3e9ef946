// Package measure has what notify-controller measures of itself; the README has the table. Labels have few values: a name is in
// none of them.
package measure

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
)

// Result is what became of a delivery, or of an attempt at one.
type Result string

// The results.
const (
	// Delivered: the target took it.
	Delivered Result = "delivered"
	// Retried: an attempt failed, and another follows.
	Retried Result = "retried"
	// GivenUp: it is a dead letter.
	GivenUp Result = "given_up"
	// Dropped: a newer notification made it wrong.
	Dropped Result = "dropped"
)

// Results of an event that was posted.
const (
	// Stored: it is kept until it is routed.
	Stored Result = "stored"
	// Repeated: it is stored already.
	Repeated Result = "repeated"
	// Refused: it can never be stored.
	Refused Result = "refused"
	// Unavailable: it cannot be stored now.
	Unavailable Result = "unavailable"
)

// Metrics count and time what happens to events and notifications. A nil one measures nothing. It is safe for concurrent use.
type Metrics struct {
	duration   *prometheus.HistogramVec
	deliveries *prometheus.CounterVec
	routed     *prometheus.CounterVec
	received   *prometheus.CounterVec
}

// New returns metrics that are not registered yet.
func New() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &Metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_delivery_duration_seconds",
			Help:    "How long targets took to answer, by type of Provider and result: success or failure.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14), // to 82 s; spec.timeout is two minutes at most
		}, []string{"type", "result"}),
		deliveries: counter("sluice_deliveries_total",
			"What became of notifications and attempts, by type of Provider and result: delivered, retried, given_up, dropped.", "type", "result"),
		routed: counter("sluice_events_routed_total", "Events that were routed, and whether an Alert selects them.", "matched"),
		received: counter("sluice_events_received_total",
			"Events that were posted to the event endpoint, by result: stored, repeated, refused, unavailable.", "result"),
	}
}

// Collectors are the metrics, for the caller to register.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.duration, m.deliveries, m.routed, m.received}
}

// Sent measures an attempt to send to a Provider of a type.
func (m *Metrics) Sent(providerType string, ok bool, took time.Duration) {
	if m == nil {
		return
	}
	result := "failure"
	if ok {
		result = "success"
	}
	m.duration.WithLabelValues(typeLabel(providerType), result).Observe(took.Seconds())
}

// Delivery counts what became of a delivery to a Provider of a type, which is empty when nobody knows it.
func (m *Metrics) Delivery(providerType string, result Result) {
	if m != nil {
		m.deliveries.WithLabelValues(typeLabel(providerType), string(result)).Inc()
	}
}

// Routed counts an event that was routed.
func (m *Metrics) Routed(matched bool) {
	if m != nil {
		m.routed.WithLabelValues(strconv.FormatBool(matched)).Inc()
	}
}

// Received counts an event that was posted.
func (m *Metrics) Received(result Result) {
	if m != nil {
		m.received.WithLabelValues(string(result)).Inc()
	}
}

// typeLabel keeps the label to the types that are served: what a Provider says can be anything.
func typeLabel(providerType string) string {
	switch {
	case providerType == "":
		return "unknown"
	case !slices.Contains(plan.Served(), providerType):
		return "other"
	}
	return providerType
}
