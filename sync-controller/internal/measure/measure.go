// Package measure holds what sync-controller measures of its work. It knows nothing of how the work is done.
package measure

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Values of the label result.
const (
	success   = "success"
	failure   = "failure"
	unchanged = "unchanged"
)

// Metrics are the metrics of one process. Nil measures nothing; make one with [New]. It is safe for concurrent use.
type Metrics struct {
	apply, prune, health *prometheus.HistogramVec
	changed, drift       *prometheus.CounterVec
	kinds, storage       prometheus.GaugeFunc
}

// Sources are asked at each scrape.
type Sources struct {
	// Kinds is how many kinds of objects are watched.
	Kinds func() int
	// Storage is how many bytes are kept on the volume.
	Storage func() int64
}

// New makes metrics. Register its Collectors to have them scraped.
func New(of Sources) *Metrics {
	return &Metrics{
		apply:   histogram("sluice_apply_duration_seconds", "How long it took to apply the objects of an attempt; unchanged when no object was written."),
		prune:   histogram("sluice_prune_duration_seconds", "How long it took to ask for the deletion of what left an inventory."),
		health:  histogram("sluice_health_duration_seconds", "Time from the end of an apply to the verdict about the health of its objects."),
		changed: counter("sluice_objects_changed_total", "Objects that were created, configured or deleted.", "action"),
		drift:   counter("sluice_drift_total", "Objects that somebody else had changed: corrected, refused, or postponed because corrections follow each other.", "outcome"),
		kinds: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sluice_watched_kinds", Help: "Kinds of objects whose metadata is watched, each for one kind of owner.",
		}, func() float64 { return float64(of.Kinds()) }),
		storage: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sluice_storage_bytes", Help: "Bytes that are kept in --storage-path.",
		}, func() float64 { return float64(of.Storage()) }),
	}
}

func histogram(name, help string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900},
	}, []string{"kind", "result"})
}

func counter(name, help, label string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"kind", label})
}

// Collectors are to be registered.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.apply, m.prune, m.health, m.changed, m.drift, m.kinds, m.storage}
}

// Applied notes an apply, which may have failed after it had changed something.
func (m *Metrics) Applied(kind string, took time.Duration, changed bool, err error) {
	if m == nil {
		return
	}
	result := resultOf(err == nil)
	if err == nil && !changed {
		result = unchanged
	}
	m.apply.WithLabelValues(kind, result).Observe(took.Seconds())
}

// Pruned notes a prune.
func (m *Metrics) Pruned(kind string, took time.Duration, err error) {
	if m != nil {
		m.prune.WithLabelValues(kind, resultOf(err == nil)).Observe(took.Seconds())
	}
}

// Health notes a verdict, and how long after the apply it came.
func (m *Metrics) Health(kind string, took time.Duration, healthy bool) {
	if m != nil {
		m.health.WithLabelValues(kind, resultOf(healthy)).Observe(took.Seconds())
	}
}

// Changed notes changes to objects.
func (m *Metrics) Changed(kind string, created, configured, deleted int64) {
	if m == nil {
		return
	}
	for action, n := range map[string]int64{"created": created, "configured": configured, "deleted": deleted} {
		add(m.changed, kind, action, n)
	}
}

// Corrected notes objects whose drift was corrected.
func (m *Metrics) Corrected(kind string, objects int64) { m.drifted(kind, "corrected", objects) }

// Refused notes objects that could not be corrected.
func (m *Metrics) Refused(kind string, objects int) { m.drifted(kind, "refused", int64(objects)) }

// Postponed notes that a correction waits, because it would follow others too soon.
func (m *Metrics) Postponed(kind string) { m.drifted(kind, "postponed", 1) }

func (m *Metrics) drifted(kind, outcome string, n int64) {
	if m != nil {
		add(m.drift, kind, outcome, n)
	}
}

// add leaves a series out that never moved.
func add(to *prometheus.CounterVec, kind, label string, n int64) {
	if n > 0 {
		to.WithLabelValues(kind, label).Add(float64(n))
	}
}

func resultOf(ok bool) string {
	if ok {
		return success
	}
	return failure
}
