// Package controller brings what render-controller rendered into the cluster, and keeps it there.
//
// One [Reconciler] serves both kinds; what differs is behind the subject interface (kustomization.go, helmrelease.go).
// Reading order: reconciler.go (the loop), observe.go (everything a decision needs), package plan (the decision), act.go
// (carrying it out; apply.go, heal.go, health.go and finalize.go hold the larger steps), report.go (the one place that
// writes status), setup.go (what is watched).
//
// No worker ever waits for an application: an attempt that waits ends its pass, and a watch, a timer or a new Render
// brings it back. What it has to remember meanwhile is in memory.go, and, as far as a restart must not lose it, on disk.
package controller
