package controller

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// countBuilds returns the registered counter of [Options.Builds].
func countBuilds() (*prometheus.CounterVec, error) {
	builds := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_render_builds_total",
		Help: "Renderings that were built by kustomize or helm, by kind of subject. A subject that a commit leaves as it was is not built.",
	}, []string{"kind"})
	err := metrics.Registry.Register(builds)
	var known prometheus.AlreadyRegisteredError
	if errors.As(err, &known) {
		if earlier, ok := known.ExistingCollector.(*prometheus.CounterVec); ok {
			return earlier, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("register the counter of builds: %w", err)
	}
	return builds, nil
}
