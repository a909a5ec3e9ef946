package inventory

import (
	"errors"
	"maps"
	"slices"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

// Inventory is a set of objects, each with the version it was applied in. The nil inventory is empty and may be read.
type Inventory map[ID]string

// New returns the inventory of the given entries; of two with the same identity the later wins.
func New(entries ...Entry) Inventory {
	inv := make(Inventory, len(entries))
	for _, e := range entries {
		inv[e.ID] = e.Version
	}
	return inv
}

// Parse reads what a status keeps. Entries that cannot be read are left out and named in the error; the inventory of the
// others is returned with it, so that one damaged line does not orphan everything else.
func Parse(refs []kustomizev1.ResourceRef) (Inventory, error) {
	inv := make(Inventory, len(refs))
	var errs []error
	for _, ref := range refs {
		id, err := ParseID(ref.ID)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		inv[id] = ref.Version
	}
	return inv, errors.Join(errs...)
}

// Entries returns the entries in the order of their written identities.
func (inv Inventory) Entries() []Entry {
	written := make(map[string]Entry, len(inv))
	for id, version := range inv {
		written[id.String()] = Entry{ID: id, Version: version}
	}
	entries := make([]Entry, 0, len(written))
	for _, key := range slices.Sorted(maps.Keys(written)) {
		entries = append(entries, written[key])
	}
	return entries
}

// Refs returns the entries as a status keeps them, sorted.
func (inv Inventory) Refs() []kustomizev1.ResourceRef {
	entries := inv.Entries()
	refs := make([]kustomizev1.ResourceRef, len(entries))
	for i, e := range entries {
		refs[i] = e.Ref()
	}
	return refs
}

// Has says whether the object is in the inventory, in whatever version.
func (inv Inventory) Has(id ID) bool {
	_, found := inv[id]
	return found
}

// Equal says whether both hold the same objects in the same versions.
func (inv Inventory) Equal(other Inventory) bool { return maps.Equal(inv, other) }

// Contains says whether every object of other is in the inventory, in whatever version.
func (inv Inventory) Contains(other Inventory) bool {
	for id := range other {
		if !inv.Has(id) {
			return false
		}
	}
	return true
}

// Union returns what is in either; the version of an object in both is that of the later argument.
func Union(earlier, later Inventory) Inventory {
	union := make(Inventory, len(earlier)+len(later))
	maps.Copy(union, earlier)
	maps.Copy(union, later)
	return union
}

// Difference returns what is in before and not in after, in the order in which objects are applied: prune in the reverse.
// Another version of the same object is the same object.
func Difference(before, after Inventory) []Entry {
	var gone []Entry
	for id, version := range before {
		if !after.Has(id) {
			gone = append(gone, Entry{ID: id, Version: version})
		}
	}
	SortForApply(gone)
	return gone
}
