package apply

import (
	"fmt"
	"slices"

	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/sync-controller/internal/completion"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Set is objects that are ready to be applied, in the order of application. It may hold secret values.
type Set struct{ items []item }

// item is one object of a set.
type item struct {
	entry   inventory.Entry
	desired *unstructured.Unstructured
	tainted bool
	// scaled is the autoscaler of the same set that has its replicas; zero when there is none, or the source sets them.
	scaled autoscaler
}

// Prepare makes a set of rendered objects: copies them, gives them the owner's labels, brings them into the form that the
// API server compares without surprise, and sorts them. Its identities are what the inventory must hold before the set is
// applied. The error is an [*Error] that names every object that cannot be applied whatever the cluster says.
//
// A namespace on an object that has none is dropped, as the API server does; that a namespaced object lacks one is only
// known for certain, and refused, when it is applied.
func (a *Applier) Prepare(objects []rendering.Object) (Set, error) {
	scopes := newScopes(a.Client.RESTMapper(), objects)
	set := Set{items: make([]item, 0, len(objects))}
	seen := make(map[inventory.ID]bool, len(objects))
	var failures []Failure
	for i, o := range objects {
		it, err := prepare(o, a.Owner, scopes)
		switch {
		case o.Object == nil:
			err = fmt.Errorf("object %d of the rendering is empty", i+1)
		case err == nil && seen[it.entry.ID]:
			err = fmt.Errorf("%s is declared twice: keep one of them", inventory.Describe(it.entry.ID))
		}
		if err != nil {
			failures = append(failures, Failure{ID: it.entry.ID, Message: err.Error()})
			continue
		}
		seen[it.entry.ID] = true
		set.items = append(set.items, it)
	}
	if len(failures) > 0 {
		return Set{}, &Error{Stage: stagePreparation, Failures: failures}
	}
	markScaled(set.items)
	order := inventory.NewOrder()
	slices.SortFunc(set.items, func(x, y item) int { return order.Compare(x.entry.ID, y.entry.ID) })
	return set, nil
}

// prepare makes one item. Its messages name the object and nothing that it contains.
func prepare(o rendering.Object, owner inventory.Owner, scopes *scopes) (item, error) {
	if o.Object == nil {
		return item{}, nil
	}
	desired := o.Object.DeepCopy()
	it := item{entry: inventory.EntryOf(desired), desired: desired, tainted: o.Tainted || utils.IsSecret(desired)}
	name := inventory.Describe(it.entry.ID)
	if !utils.IsKubernetesObject(desired) {
		return it, fmt.Errorf("%s is not a Kubernetes object: it needs apiVersion, kind and metadata.name", name)
	}
	for _, field := range []string{"labels", "annotations"} {
		if _, _, err := unstructured.NestedStringMap(desired.Object, "metadata", field); err != nil {
			return it, fmt.Errorf("%s: every value in metadata.%s has to be a string: quote it", name, field)
		}
	}
	if scopes.isCluster(it.entry.Kind()) {
		desired.SetNamespace("")
	}
	utils.SetCommonMetadata([]*unstructured.Unstructured{desired}, owner.Labels(), nil)
	utils.RemoveCABundleFromCRD(desired)
	if err := normalize.UnstructuredList([]*unstructured.Unstructured{desired}); err != nil {
		return it, fmt.Errorf("%s does not fit its kind %s: check the types of its fields", name, it.entry.Kind())
	}
	for _, field := range []string{"creationTimestamp", "managedFields", "resourceVersion", "uid", "generation"} {
		unstructured.RemoveNestedField(desired.Object, "metadata", field)
	}
	leaveOut(desired)
	it.entry = inventory.EntryOf(desired)
	return it, nil
}

// DropNamespaces takes the namespace off objects whose kind has none, in place: kustomize puts one on every kind that it
// does not know. [Applier.Prepare] does the same to its copies. What cannot be looked up is left as it is.
func DropNamespaces(mapper meta.RESTMapper, objects []rendering.Object) {
	scopes := newScopes(mapper, objects)
	for _, o := range objects {
		if o.Object != nil && o.Object.GetNamespace() != "" && scopes.isCluster(o.Object.GroupVersionKind()) {
			o.Object.SetNamespace("")
		}
	}
}

// Len returns how many objects the set has.
func (s Set) Len() int { return len(s.items) }

// Inventory returns the identities of the set.
func (s Set) Inventory() inventory.Inventory {
	inv := make(inventory.Inventory, len(s.items))
	for _, it := range s.items {
		inv[it.entry.ID] = it.entry.Version
	}
	return inv
}

// Only returns the part of the set for which keep is true: for example what a drift signal is about.
func (s Set) Only(keep func(inventory.ID) bool) Set {
	var part Set
	for _, it := range s.items {
		if keep(it.entry.ID) {
			part.items = append(part.items, it)
		}
	}
	return part
}

// Traits returns how the objects of the set may come to an end by themselves.
func (s Set) Traits() map[inventory.ID]completion.Trait {
	traits := make(map[inventory.ID]completion.Trait)
	for _, it := range s.items {
		if trait := completion.TraitOf(it.desired); trait != completion.Lasts {
			traits[it.entry.ID] = trait
		}
	}
	return traits
}

// scopes tells which kinds have no namespace: from the cluster, or from definitions in the same rendering.
type scopes struct {
	mapper  meta.RESTMapper
	defined map[schema.GroupKind]bool
	known   map[schema.GroupVersionKind]bool
}

func newScopes(mapper meta.RESTMapper, objects []rendering.Object) *scopes {
	s := &scopes{
		mapper:  mapper,
		defined: map[schema.GroupKind]bool{},
		known:   map[schema.GroupVersionKind]bool{},
	}
	for _, o := range objects {
		if o.Object == nil || !utils.IsCRD(o.Object) {
			continue
		}
		kind, scope := definedKind(o.Object)
		s.defined[kind] = scope == "Cluster"
	}
	return s
}

// definedKind returns the kind that a CustomResourceDefinition defines, and its scope.
func definedKind(crd *unstructured.Unstructured) (kind schema.GroupKind, scope string) {
	kind.Group, _, _ = unstructured.NestedString(crd.Object, "spec", "group")
	kind.Kind, _, _ = unstructured.NestedString(crd.Object, "spec", "names", "kind")
	scope, _, _ = unstructured.NestedString(crd.Object, "spec", "scope")
	return kind, scope
}

// isCluster says that the kind certainly has no namespace. Nothing is said about a kind that cannot be looked up: applying
// it will tell.
func (s *scopes) isCluster(kind schema.GroupVersionKind) bool {
	if cluster, found := s.defined[kind.GroupKind()]; found {
		return cluster
	}
	if cluster, found := s.known[kind]; found {
		return cluster
	}
	mapping, err := s.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	cluster := err == nil && mapping.Scope.Name() == meta.RESTScopeNameRoot
	s.known[kind] = cluster
	return cluster
}
