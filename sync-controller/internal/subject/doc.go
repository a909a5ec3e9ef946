// Package subject is what sync-controller serves: a Kustomization or a HelmRelease, behind one interface.
//
// [Kind] is what the two kinds have of their own, [Subject] is one object of them: what its spec asks for, and what its
// kind writes to its own status, in memory. Nothing here speaks to an API server.
package subject
