package measure_test

import (
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-gitops/sluice/render-controller/internal/measure"
)

// TestScrapeOfABrokenVolume: what cannot be summed costs the scrape nothing else; a volume that fails is when metrics are looked at.
func TestScrapeOfABrokenVolume(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&measure.State{
		Trees:   func() (int, int64) { return 1, 2 },
		Workers: func() (int, int) { return 3, 4 },
		Stored:  func() (int64, error) { return 0, errors.New("input/output error") },
	})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, family := range families {
		names = append(names, family.GetName())
	}
	if len(names) != 3 || names[2] != "sluice_workers" {
		t.Errorf("scraped are %v", names)
	}
}
