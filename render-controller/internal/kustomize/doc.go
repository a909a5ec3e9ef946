// Package kustomize builds the objects of a Kustomization from a source artifact, and reaches nothing else.
//
// [Build] reads in this order: filesystem.go is the only way to a file, a read-only [Tree] with generated files laid
// over it. guard.go inspects each kustomization file on its way to kustomize and refuses what would leave the
// tree: remote entries, plugins that run programs, Helm inflation, paths outside. generate.go writes the kustomization
// that Flux would write for the subject. substitute.go replaces the variables of spec.postBuild in the built objects.
//
// kustomize keeps global state: one build at a time in a process, and none after a build that loaded a schema of its own
// (see [Result.SchemaChanged]).
package kustomize
