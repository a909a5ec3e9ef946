// Package controller renders every Kustomization and HelmRelease, and records the outcome.
//
// One reconciler serves both kinds; what differs is in their observers. Reading order: reconciler.go (get, observe,
// plan.Decide, act, report), observe.go with kustomization.go and release.go (all reads), act.go (render and seal),
// report.go (the one write), setup.go (watches).
//
// It writes Render records and the HelmCharts of HelmReleases, and nothing else.
package controller
