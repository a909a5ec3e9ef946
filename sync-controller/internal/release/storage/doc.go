// Package storage keeps Helm releases in Helm's own storage, so that `helm list`, `helm history`, `helm get` and `flux tree`
// read what Sluice did, and Flux can take over again. No other package of this module imports Helm.
//
// [Ref] names a release, [Release] is one of its records, or the one that render-controller made; [Storage] reads and
// writes them. What to do about them is decided in package release.
package storage
