// Package plan holds every decision of source-controller: pure functions from what was observed to what is to be done.
// Nothing here has a context, a client, a logger or a clock.
//
// In reading order: [Validate] says whether a GitRepository can be served at all, [Resolve] finds the commit it asks
// for, [Decide] picks the step, and [Conditions] says what its status shows afterwards. [ValidateChart], [DecideChart]
// and [ChartVersion] are the same for a HelmChart.
package plan
