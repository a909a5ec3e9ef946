package process

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Register has collectors scraped with everything else that the process measures. A collector that is registered already, as by
// another manager of the same test, is replaced: what is scraped is what moves.
func Register(collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		err := metrics.Registry.Register(c)
		var known prometheus.AlreadyRegisteredError
		if errors.As(err, &known) {
			metrics.Registry.Unregister(known.ExistingCollector)
			err = metrics.Registry.Register(c)
		}
		if err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}
