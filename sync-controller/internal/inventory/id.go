// Package inventory is the arithmetic of what belongs to a subject: identities of objects, sets of them, and the labels
// that mark an object as owned. It is pure: it reads no cluster.
//
// The written form is Flux's, so that a cluster can be taken over in either direction: an entry is the identity
// <namespace>_<name>_<group>_<kind> and the version that the object was applied in.
package inventory

import (
	"fmt"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/object"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ID names an object whatever its version. Its String method gives the form that is kept in an inventory.
type ID = object.ObjMetadata

// ParseID reads the written form of an [ID]. It is the reverse of ID.String for every identity that the API server takes.
func ParseID(text string) (ID, error) {
	id, err := object.ParseObjMetadata(text)
	if err != nil || id.Name == "" || id.GroupKind.Kind == "" {
		return ID{}, fmt.Errorf("inventory id %q: want <namespace>_<name>_<group>_<kind>", text)
	}
	return id, nil
}

// Describe is how an object is called in messages: Kind/namespace/name, or Kind/name for one without a namespace.
func Describe(id ID) string {
	parts := []string{id.GroupKind.Kind, id.Namespace, id.Name}
	if id.Namespace == "" {
		parts = []string{id.GroupKind.Kind, id.Name}
	}
	return strings.Join(parts, "/")
}

// Entry is an object and the version it was applied in.
type Entry struct {
	ID      ID
	Version string
}

// EntryOf returns the entry of an object that carries its kind.
func EntryOf(o client.Object) Entry {
	kind := o.GetObjectKind().GroupVersionKind()
	return Entry{
		ID:      ID{Namespace: o.GetNamespace(), Name: o.GetName(), GroupKind: kind.GroupKind()},
		Version: kind.Version,
	}
}

// Kind returns the group, version and kind of the object.
func (e Entry) Kind() schema.GroupVersionKind { return e.ID.GroupKind.WithVersion(e.Version) }

// Ref returns the entry as Flux's status keeps it.
func (e Entry) Ref() kustomizev1.ResourceRef {
	return kustomizev1.ResourceRef{ID: e.ID.String(), Version: e.Version}
}
