package apply

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Action is what was done to an object, in Flux's words.
type Action string

// What can be done to an object.
const (
	Created    Action = "created"
	Configured Action = "configured"
	Unchanged  Action = "unchanged"
	Skipped    Action = "skipped"
	Deleted    Action = "deleted"
	// Kept is a namespace that was to be deleted and is not.
	Kept Action = "kept"
	// Finished is an object that is not there because it has come to its end.
	Finished Action = "finished"
)

// Change is what was done to one object.
type Change struct {
	inventory.Entry
	Action Action
	// Why an object is kept that would have been deleted; empty otherwise.
	Why string
	// Live is the object's metadata as the API server last gave it, reduced to what [Fingerprint] is made from. It is nil
	// for an object that was known to be unchanged, for a deleted one, and for one that does not exist.
	Live *metav1.PartialObjectMetadata
}

// String returns the line of a change set: "Kind/namespace/name created", or "… kept: why".
func (c Change) String() string {
	line := inventory.Describe(c.ID) + " " + string(c.Action)
	if c.Why != "" {
		line += ": " + c.Why
	}
	return line
}

// ChangeSet is what was done to the objects of a set, in the order of application.
type ChangeSet []Change

// Count returns how many objects had the action.
func (s ChangeSet) Count(action Action) int64 {
	var n int64
	for _, c := range s {
		if c.Action == action {
			n++
		}
	}
	return n
}

// Changed returns those that wrote something to the cluster.
func (s ChangeSet) Changed() ChangeSet {
	return s.only(func(c Change) bool { return c.Action == Created || c.Action == Configured || c.Action == Deleted })
}

// Notable returns what people are told: what was changed, and what was kept although its file has left.
func (s ChangeSet) Notable() ChangeSet {
	return s.only(func(c Change) bool {
		return c.Action == Kept || c.Action == Created || c.Action == Configured || c.Action == Deleted
	})
}

func (s ChangeSet) only(want func(Change) bool) ChangeSet {
	var some ChangeSet
	for _, c := range s {
		if want(c) {
			some = append(some, c)
		}
	}
	return some
}

// Lines returns the changes as text, at most limit of them.
func (s ChangeSet) Lines(limit int) []string {
	lines := make([]string, 0, min(limit, len(s)))
	for _, c := range s[:min(limit, len(s))] {
		lines = append(lines, c.String())
	}
	return lines
}
