// Package health says whether applied objects work: kstatus for the kinds it knows and for everything with conditions, a
// Job only once it is complete, and the user's CEL expressions for the kinds they name.
//
// Nothing in it waits: [Check] looks once, and whoever calls comes back when an object changes or a deadline passes.
package health

import (
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Ref is an object to check.
type Ref struct {
	inventory.Entry
	// MayVanish is set for what removes itself, as a Job with ttlSecondsAfterFinished does, and for what is done: once gone, it
	// counts as healthy.
	MayVanish bool
	// Tainted is set when the object may hold secret values: nothing that its status says in prose is repeated.
	Tainted bool
}

// Finding is an object that is not healthy, and why.
type Finding struct {
	ID inventory.ID
	// Reason in a few words, for example "ErrImagePull: Back-off pulling image …".
	Reason string
}

// String returns "Kind/namespace/name: reason".
func (f Finding) String() string {
	if f.Reason == "" {
		return inventory.Describe(f.ID)
	}
	return inventory.Describe(f.ID) + ": " + f.Reason
}

// Report is the health of some objects at one moment. The zero value is that of no objects.
type Report struct {
	// Ready of Total objects are healthy.
	Ready, Total int64
	// Failed will not become healthy by waiting; InProgress may. Both are in the order of the checked objects.
	Failed     []Finding
	InProgress []Finding
}

// Waiting returns what is not healthy as text, failures first, at most limit of them.
func (r Report) Waiting(limit int) []string {
	var lines []string
	for _, findings := range [][]Finding{r.Failed, r.InProgress} {
		for _, f := range findings {
			if len(lines) == limit {
				return lines
			}
			lines = append(lines, f.String())
		}
	}
	return lines
}
