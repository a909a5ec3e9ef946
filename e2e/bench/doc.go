// Package bench measures Sluice in a running world: 100 applications of four objects in one repository, on a real API
// server, with the flags and the rights of the chart.
//
// Read it in this order:
//
//   - run.go is the list of phases ([Run]); install.go, commit.go, drift.go, idle.go, floor.go and sources.go are the phases.
//   - fleet.go is what is installed, upstreams.go what sources come from.
//   - follow.go takes times by watches, to the millisecond; nothing that is timed is polled.
//   - meter.go is what a phase cost each controller: CPU and memory from /proc (processes.go), requests from the API
//     server's audit log (requests.go), which budget.go holds against the write budget of the design.
//   - report.go prints it.
//
// Nothing here passes or fails by a time: a figure is for reading, and only what never arrives is an error.
package bench
