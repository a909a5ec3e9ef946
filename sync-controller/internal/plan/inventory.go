package plan

import (
	"slices"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Split parts what left an inventory into what to delete and what another subject has taken over, which is only released.
func Split(stale []inventory.Entry, claimed func(inventory.ID) bool) (remove, release []inventory.Entry) {
	for _, entry := range stale {
		if claimed(entry.ID) {
			release = append(release, entry)
			continue
		}
		remove = append(remove, entry)
	}
	return remove, release
}

// Sibling is another subject made from the same source.
type Sibling struct {
	// Name is Kind/namespace/name.
	Name string
	// Rests says that it is suspended or on its way out: no Render is to be expected.
	Rests bool
	// Revision its Render is at; empty without a Render.
	Revision string
}

// Lagging names the siblings whose Render is not at the revision yet.
func Lagging(siblings []Sibling, revision string) []string {
	var names []string
	for _, s := range siblings {
		if !s.Rests && s.Revision != revision {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names
}
