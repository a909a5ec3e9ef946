// Package measure has what source-controller measures of itself; the README has the table. Labels have few values: an object's
// name is in none of them.
package measure

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Result is how an attempt ended.
type Result string

// The results.
const (
	// Success: there is a new artifact.
	Success Result = "success"
	// Failure: there is none, although one was asked for.
	Failure Result = "failure"
	// Unchanged: there was nothing new to fetch.
	Unchanged Result = "unchanged"
)

// Metrics count and time attempts. A nil one measures nothing. It is safe for concurrent use.
type Metrics struct {
	duration *prometheus.HistogramVec
	received *prometheus.CounterVec
}

// New returns metrics that are not registered yet.
func New() *Metrics {
	return &Metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_fetch_duration_seconds",
			Help:    "How long attempts at an artifact took, by kind and result: success, failure, or unchanged where nothing was new.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14), // to 82 s; spec.timeout is a minute if not set
		}, []string{"kind", "result"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_fetch_bytes_total",
			Help: "Bytes that came from upstream, by kind.",
		}, []string{"kind"}),
	}
}

// Collectors are the metrics, for the caller to register.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.duration, m.received}
}

// Fetched measures an attempt at an object of a kind.
func (m *Metrics) Fetched(kind string, result Result, took time.Duration) {
	if m != nil {
		m.duration.WithLabelValues(kind, string(result)).Observe(took.Seconds())
	}
}

// Received counts bytes from upstream for an object of a kind.
func (m *Metrics) Received(kind string, bytes int64) {
	if m != nil {
		m.received.WithLabelValues(kind).Add(float64(bytes))
	}
}
