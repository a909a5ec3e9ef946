package config

import (
	"errors"

	"github.com/spf13/pflag"
)

// Helm bounds what Helm repositories serve, in bytes. Flux's options for a cache of indexes are none here: an index is never held
// in memory, and what is kept of it is too small to be set.
type Helm struct {
	// MaxIndex is how large an index may be, MaxChart how large a packaged chart, MaxChartFile how large a file in one.
	MaxIndex, MaxChart, MaxChartFile int64
}

func (h *Helm) bind(flags *pflag.FlagSet) {
	flags.Int64Var(&h.MaxIndex, "helm-index-max-size", 50<<20, "How many bytes the index of a Helm repository may have.")
	flags.Int64Var(&h.MaxChart, "helm-chart-max-size", 10<<20, "How many bytes a packaged chart may have.")
	flags.Int64Var(&h.MaxChartFile, "helm-chart-file-max-size", 5<<20, "How many bytes a file in a chart may have.")
}

func (h *Helm) validate() error {
	if h.MaxIndex < 1 || h.MaxChart < 1 || h.MaxChartFile < 1 {
		return errors.New("--helm-index-max-size, --helm-chart-max-size and --helm-chart-file-max-size must be positive")
	}
	return nil
}
