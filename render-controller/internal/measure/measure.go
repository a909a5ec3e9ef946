package measure

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Result of a build.
type Result string

// Results. Made and Failed are builds that ran; what is Kept was not built, because the new revision changes nothing that it read.
const (
	Made   Result = "made"
	Kept   Result = "kept"
	Failed Result = "failed"
)

// Metrics counts and times builds. It is safe for concurrent use.
type Metrics struct {
	builds   *prometheus.CounterVec
	duration *prometheus.HistogramVec
	restarts *prometheus.CounterVec
}

// New returns metrics that are not registered yet.
func New() *Metrics {
	return &Metrics{
		builds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_builds_total",
			Help: "Renderings by what became of them: made, failed, or kept, where a new revision changes nothing that was read.",
		}, []string{"kind", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_build_duration_seconds",
			Help:    "How long builds take in a worker, with the wait for one.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}, []string{"kind", "result"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_worker_restarts_total",
			Help: "Workers that another had to take the place of, by why.",
		}, []string{"reason"}),
	}
}

// Collectors are what is to be registered.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.builds, m.duration, m.restarts}
}

// Built counts a build that ran, for a subject of a kind.
func (m *Metrics) Built(kind string, took time.Duration, failed bool) {
	if m == nil {
		return
	}
	result, outcome := Made, "success"
	if failed {
		result, outcome = Failed, "failure"
	}
	m.builds.WithLabelValues(kind, string(result)).Inc()
	m.duration.WithLabelValues(kind, outcome).Observe(took.Seconds())
}

// Kept counts a rendering that stands although the revision moved.
func (m *Metrics) Kept(kind string) {
	if m != nil {
		m.builds.WithLabelValues(kind, string(Kept)).Inc()
	}
}

// Lost counts a worker that did not live to the end of its job, or cannot do another.
func (m *Metrics) Lost(reason string) {
	if m != nil {
		m.restarts.WithLabelValues(reason).Inc()
	}
}
