package measure

import (
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Volume measures the folder of artifacts and clones when it is scraped. It is safe for concurrent use.
type Volume struct {
	// Dir is the folder.
	Dir string
	// Every is how old the sum of the files may be: a large fleet has many. The room that is left is always of now.
	Every time.Duration

	mu     sync.Mutex
	summed time.Time
	bytes  int64
}

func storageDesc() *prometheus.Desc {
	return prometheus.NewDesc("sluice_storage_bytes", "Bytes of the files in the storage: artifacts, charts and clones.", nil, nil)
}

func freeDesc() *prometheus.Desc {
	return prometheus.NewDesc("sluice_storage_free_bytes", "Bytes that are left on the volume of the storage.", nil, nil)
}

// Describe implements [prometheus.Collector].
func (v *Volume) Describe(out chan<- *prometheus.Desc) {
	out <- storageDesc()
	out <- freeDesc()
}

// Collect implements [prometheus.Collector].
func (v *Volume) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(storageDesc(), prometheus.GaugeValue, float64(v.used()))
	var stat syscall.Statfs_t
	if syscall.Statfs(v.Dir, &stat) == nil {
		out <- prometheus.MustNewConstMetric(freeDesc(), prometheus.GaugeValue, float64(stat.Bavail)*float64(stat.Bsize))
	}
}

func (v *Volume) used() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.summed.IsZero() && time.Since(v.summed) < v.Every {
		return v.bytes
	}
	var sum int64
	_ = filepath.WalkDir(v.Dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // it was removed meanwhile, or has no size of its own
		}
		if info, err := entry.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	v.bytes, v.summed = sum, time.Now()
	return sum
}
