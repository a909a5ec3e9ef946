package subject

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Object is what a client reads and writes, without a client.
type Object interface {
	metav1.Object
	runtime.Object
}

// ObjectList is a list of them.
type ObjectList interface {
	metav1.ListInterface
	runtime.Object
}

// Kind is what the two kinds of subjects have of their own.
type Kind struct {
	// Name of the kind, its API group and version, and the field manager that applies for it.
	Name, Group, Version, Manager string
	NewObject                     func() Object
	NewList                       func() ObjectList
	// Of makes a subject of an object of NewObject's type.
	Of func(Object) Subject
	// Items returns a list's objects.
	Items func(ObjectList) []Object
	// HasHealthy says that the kind has a Healthy condition.
	HasHealthy bool
	// ListsChanges says what Flux's controller of the kind tells about an attempt that changed something: the objects, and
	// its verdict only for the commit's status; otherwise the verdict alone.
	ListsChanges bool
	// RevisionsAlign says that a dependency made from the same source has to be at the same revision.
	RevisionsAlign bool
}

// Kinds are the kinds that are reconciled.
func Kinds() []Kind { return []Kind{Kustomizations(), HelmReleases()} }

// Owner is the subject as its objects' labels name it.
func (k Kind) Owner(key Key) inventory.Owner {
	return inventory.Owner{Group: k.Group, Namespace: key.Namespace, Name: key.Name}
}

// ID is the subject as an object that may be among its own.
func (k Kind) ID(key Key) inventory.ID {
	return inventory.ID{Namespace: key.Namespace, Name: key.Name, GroupKind: schema.GroupKind{Group: k.Group, Kind: k.Name}}
}
