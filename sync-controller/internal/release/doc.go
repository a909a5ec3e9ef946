// Package release makes Helm releases of what is applied for a HelmRelease. Everything that Helm wants beside the objects
// themselves is here, behind [Actions]; a Kustomization releases nothing, and its Actions do nothing.
//
// In reading order: actions.go (what an attempt asks for, and when), decide.go (the state machine, a pure function of what
// types.go lists), then a file per action in the order in which a release lives: compare, repair, begin, conclude; adopt
// and uninstall. ref.go says which release a HelmRelease means. The records themselves, in Helm's own format, are kept by
// package storage.
//
// A release goes pending-install or pending-upgrade (begin), then deployed while what was deployed before becomes
// superseded, or failed (conclude). Whatever is found pending and is not this process' own work was left by a crash, and is
// marked failed (repair) before anything else happens, as Flux does.
package release
