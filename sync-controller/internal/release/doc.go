// Package release keeps Helm releases in Helm's own storage, so that `helm list`, `helm history`, `helm get` and
// `flux tree` read what Sluice did, and Flux can take over again. No other package of this module imports Helm.
//
// In reading order: [Ref] says which release a HelmRelease means; [Storage] reads and writes its records; [Release] is one
// of them, or the one that render-controller made; [Decide] says what to do next; [Unsupported] says what is not served.
//
// A release goes pending-install or pending-upgrade ([Storage.Begin]), then deployed ([Storage.Deploy]) while what was
// deployed before becomes superseded, or failed ([Storage.Fail]). Whatever is found pending and is not this process' own
// work was left by a crash, and is marked failed ([Storage.Unlock]) before anything else happens, as Flux does.
package release
