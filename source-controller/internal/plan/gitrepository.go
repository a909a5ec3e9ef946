package plan

import (
	"slices"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// SameContent reports whether the stored artifact was made with the rules that the object has now for what goes in. One
// that Flux made may hold more than is served here.
func SameContent(spec sourcev1.GitRepositorySpec, status sourcev1.GitRepositoryStatus) bool {
	return equal(spec.Ignore, status.ObservedIgnore) && slices.Equal(spec.SparseCheckout, status.ObservedSparseCheckout) &&
		!status.ObservedRecurseSubmodules && len(status.ObservedInclude) == 0
}

func equal(a, b *string) bool {
	return a == b || a != nil && b != nil && *a == *b
}
