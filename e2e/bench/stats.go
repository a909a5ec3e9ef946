package bench

import (
	"slices"
	"time"
)

// spread is what several runs of one measurement took.
type spread struct {
	Median, Least, Most time.Duration
	Runs                int
}

// spreadOf returns the zero value for no runs. The median of an even number of runs is the mean of the middle two.
func spreadOf(runs []time.Duration) spread {
	if len(runs) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(runs))
	upper, lower := sorted[len(sorted)/2], sorted[(len(sorted)-1)/2]
	return spread{Median: (upper + lower) / 2, Least: sorted[0], Most: sorted[len(sorted)-1], Runs: len(sorted)}
}
