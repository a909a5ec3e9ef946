package plan

import (
	"slices"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// SameContent reports whether the stored artifact was made with the rules that the object has now for what goes in, of what
// its includes have now, and was verified as it asks for now.
func SameContent(obj *sourcev1.GitRepository, included []*meta.Artifact) bool {
	spec, status := obj.Spec, obj.Status
	return equal(spec.Ignore, status.ObservedIgnore) && slices.Equal(spec.SparseCheckout, status.ObservedSparseCheckout) &&
		spec.RecurseSubmodules == status.ObservedRecurseSubmodules && sameIncludes(spec, status, included) && verifiedAs(obj)
}

func equal(a, b *string) bool {
	return a == b || a != nil && b != nil && *a == *b
}
