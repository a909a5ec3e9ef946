package plan

import (
	"slices"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// Step is what an attempt does.
type Step string

// The steps, of which an attempt takes exactly one.
const (
	// Rest: the object is suspended; its artifact stays as it is.
	Rest Step = "Rest"
	// Fail: report the problem; the last good artifact stays.
	Fail Step = "Fail"
	// Keep: what is stored is what is asked for.
	Keep Step = "Keep"
	// Build: make and store the artifact.
	Build Step = "Build"
)

// Observed is everything that decides about a GitRepository.
type Observed struct {
	// Suspended is spec.suspend.
	Suspended bool
	// Problem is why nothing can be fetched; nil if all is well.
	Problem *Problem
	// Target is what upstream has to offer; set when Problem is nil.
	Target Target
	// Stored is set when the artifact in the status lies in the storage with the digest that it advertises.
	Stored bool
	// Spec and Status are the object's.
	Spec   sourcev1.GitRepositorySpec
	Status sourcev1.GitRepositoryStatus
}

// Decide picks the step.
func Decide(o Observed) Step {
	switch {
	case o.Suspended:
		return Rest
	case o.Problem != nil:
		return Fail
	case !o.Stored, o.Status.Artifact == nil:
		return Build
	case o.Status.Artifact.Revision != o.Target.Revision, !SameContent(o.Spec, o.Status):
		return Build
	}
	return Keep
}

// SameContent reports whether the stored artifact was made with the rules that the object has now for what goes in. One
// that Flux made may hold more than is served here.
func SameContent(spec sourcev1.GitRepositorySpec, status sourcev1.GitRepositoryStatus) bool {
	return equal(spec.Ignore, status.ObservedIgnore) && slices.Equal(spec.SparseCheckout, status.ObservedSparseCheckout) &&
		!status.ObservedRecurseSubmodules && len(status.ObservedInclude) == 0
}

func equal(a, b *string) bool {
	return a == b || a != nil && b != nil && *a == *b
}
