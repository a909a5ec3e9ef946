// Package helmrepo reads Helm repositories that are served over HTTP: their index, and the charts it lists.
//
// An index may list tens of thousands of versions, of which few are ever asked for. So it is kept as the file that it is, and
// read as a stream: [Read] checks every version, one at a time, and returns where each chart's versions lie; [Index.Find]
// reads those of one chart. Read in this order: index.go, walk.go with a file per style (block.go, json.go, whole.go),
// version.go, find.go, cache.go.
package helmrepo

import "errors"

// Errors that a caller tells apart. What wraps them is a message for the user that quotes nothing but names.
var (
	// ErrIndex: what was read is no index, or not one that can be read.
	ErrIndex = errors.New("no usable index")
	// ErrTruncated: an index ends before its end.
	ErrTruncated = errors.New("the index is cut off")
	// ErrNoChart: the index does not list the chart.
	ErrNoChart = errors.New("no such chart")
	// ErrNoVersion: no version of the chart is what is asked for.
	ErrNoVersion = errors.New("no such version")
)

const (
	// maxEntry bounds what an index says about one version, in bytes: what is more is left out.
	maxEntry = 1 << 20
	// maxWhole bounds an index in a style that cannot be read in parts, in bytes.
	maxWhole = 1 << 20
	// maxCharts bounds how many charts an index lists.
	maxCharts = 100_000
	// maxName bounds the name of a chart, in bytes.
	maxName = 250
)
