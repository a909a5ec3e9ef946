// Package controller brings what render-controller rendered into the cluster, and keeps it there: get, observe, decide, act,
// report.
//
// One [Reconciler] serves both kinds; what differs is behind subject.Subject and release.Actions. Reading order:
// reconciler.go (the loop), observe.go (everything a decision needs), package plan (the decision), act.go (which room
// carries it out; apply.go, heal.go, prune.go, health.go, finalize.go and obstacles.go hold the larger
// steps), report.go (the one place that writes status), setup.go (what is watched), dispatcher.go (what comes from no watch),
// memory.go (what is remembered).
//
// The work itself is in the packages beside this one, and none of them knows this one. No worker ever waits for an
// application: an attempt that waits ends its reconciliation, and a watch, a timer or a new Render brings it back.
package controller
