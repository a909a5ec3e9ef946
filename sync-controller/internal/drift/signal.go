// Package drift notices that somebody else changed or deleted an applied object: it watches the metadata of every managed
// kind and reads from managedFields who owns what.
//
// [Classify] is the decision, [Watcher] feeds it, [Queue] hands the outcome over. A signal is a hint, never a proof: whoever
// receives it looks at the live object (a dry-run of it) before anything is corrected.
package drift

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Type is what may have happened to an object. A later one is worth more.
type Type int

// What may have happened to an object.
const (
	// None: nothing that matters, or our own write.
	None Type = iota
	// StatusChanged: something changed that is not ours. Only its health may have moved.
	StatusChanged
	// Changed: a field that we applied is no longer ours, so somebody else changed or removed it.
	Changed
	// Gone: deleted, or no longer labelled as ours. Only a live read tells.
	Gone
)

// Signal says that an object deserves a look.
type Signal struct {
	// Owner is the subject that the object's labels named.
	Owner inventory.Owner
	// Object is what changed. It may be an object that is not in the owner's inventory: a label was copied to it. The zero
	// value means that signals of the owner were lost: look at all of its objects.
	Object inventory.Entry
	Type   Type
	// Manager is the field manager that probably did it; empty when managedFields do not tell.
	Manager string
	// Ended says that the object has come to its end, as far as metadata tell: of a Job, that it has finished.
	Ended bool
	// Unseen says, of an object that is gone, that nobody watched when it went.
	Unseen bool
	// Owners are those that an object that is gone was to be collected with.
	Owners []metav1.OwnerReference
}
