package measure

import "github.com/prometheus/client_golang/prometheus"

// State is what there is at the time of a scrape. Every function is called for each scrape, and must not wait for anything.
type State struct {
	// Trees returns how many artifacts the cache holds, and how many bytes they take.
	Trees func() (entries int, bytes int64)
	// Workers returns how many workers there are: with a job, and without.
	Workers func() (busy, idle int)
	// Stored returns how many bytes the sealed renderings take; a file a subject.
	Stored func() (int64, error)
}

func stateDescs() (entries, size, workers, stored *prometheus.Desc) {
	return prometheus.NewDesc("sluice_tree_cache_entries", "Artifacts in the cache.", nil, nil),
		prometheus.NewDesc("sluice_tree_cache_bytes", "Bytes that the cache of artifacts takes on the volume.", nil, nil),
		prometheus.NewDesc("sluice_workers", "Worker processes: busy with a job, or idle.", []string{"state"}, nil),
		prometheus.NewDesc("sluice_storage_bytes", "Bytes that sealed renderings take on the volume.", nil, nil)
}

// Describe implements [prometheus.Collector].
func (*State) Describe(out chan<- *prometheus.Desc) {
	entries, size, workers, stored := stateDescs()
	for _, d := range []*prometheus.Desc{entries, size, workers, stored} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (s *State) Collect(out chan<- prometheus.Metric) {
	entriesDesc, sizeDesc, workersDesc, storedDesc := stateDescs()
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	entries, size := s.Trees()
	gauge(entriesDesc, float64(entries))
	gauge(sizeDesc, float64(size))
	busy, idle := s.Workers()
	gauge(workersDesc, float64(busy), "busy")
	gauge(workersDesc, float64(idle), "idle")
	if stored, err := s.Stored(); err == nil { // without an answer no series: an invalid one would fail the scrape of all others
		gauge(storedDesc, float64(stored))
	}
}
