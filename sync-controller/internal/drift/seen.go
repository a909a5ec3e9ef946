package drift

import (
	"bytes"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/completion"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Seen is what is kept of an object's metadata: a few hundred bytes.
type Seen struct {
	UID             types.UID
	ResourceVersion string
	// Owner is the subject that the labels name; the zero value when they do not name one.
	Owner inventory.Owner
	// Fingerprint of what our field manager applied (see apply.Fingerprint); empty when it applied nothing.
	Fingerprint string
	// Fields is how many fields that are.
	Fields int
	// Applied is when an apply of ours last changed anything, in seconds since 1970.
	Applied int64
	// Deleting is set once the deletion was asked for.
	Deleting bool
	// Ended is set for a Job that has finished.
	Ended bool
	// Owners are those that the object is collected with.
	Owners []metav1.OwnerReference
	// Others are the marks of everybody else, and of ourselves by other means than an apply.
	Others []Mark
}

// Mark is that a field manager has written.
type Mark struct {
	Manager string
	// Subresource it wrote through, for example status or scale; mostly empty.
	Subresource string
	Operation   metav1.ManagedFieldsOperationType
	// At is when it last changed anything, in seconds since 1970.
	At int64
}

// Lens says how to look at metadata: of which kind, whose objects, what our field manager is called, and the key of fingerprints.
type Lens struct {
	Kind       schema.GroupKind
	OwnerGroup string
	Manager    string
	Key        []byte
}

// See returns what matters of an object's metadata.
func (l Lens) See(live *metav1.PartialObjectMetadata) *Seen {
	seen := &Seen{
		UID:             live.UID,
		ResourceVersion: live.ResourceVersion,
		Fingerprint:     apply.Fingerprint(l.Key, l.Manager, live),
		Deleting:        live.DeletionTimestamp != nil,
		Ended:           completion.MetadataTell(l.Kind) && ended(live.ManagedFields),
		Owners:          live.OwnerReferences,
	}
	if owner, named := inventory.OwnerIn(live.Labels, l.OwnerGroup); named {
		seen.Owner = owner
	}
	ours := apply.AppliedFields(live.ManagedFields, l.Manager)
	for i, e := range live.ManagedFields {
		if ours == &live.ManagedFields[i] {
			seen.Applied, seen.Fields = seconds(e.Time), count(e.FieldsV1)
			continue
		}
		seen.Others = append(seen.Others, Mark{
			Manager: e.Manager, Subresource: e.Subresource, Operation: e.Operation, At: seconds(e.Time),
		})
	}
	return seen
}

func seconds(t *metav1.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UTC().Truncate(time.Second).Unix()
}

// count returns how many fields an entry has: each ends in an empty object.
func count(fields *metav1.FieldsV1) int {
	if fields == nil {
		return 0
	}
	return bytes.Count(fields.GetRawBytes(), []byte("{}"))
}
