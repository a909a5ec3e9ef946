package health

import (
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/sync-controller/internal/completion"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Refs are the objects whose health decides: the named ones, or every applied one whose health can be bad, by its kind
// or by an expression. The subject itself is never one of them.
func Refs(checks subject.HealthChecks, exprs *Expressions, content rendering.Content, self inventory.ID) []Ref {
	known := make(map[inventory.ID]Ref, len(content.Objects))
	refs := make([]Ref, 0, len(content.Objects))
	for _, o := range content.Objects {
		ref := Ref{
			Entry: inventory.EntryOf(o.Object), MayVanish: completion.TraitOf(o.Object) == completion.Vanishes,
			Tainted: o.Tainted || o.Object.GetKind() == "Secret",
		}
		known[ref.ID] = ref
		judged := Relevant(ref.ID.GroupKind) || exprs.Covers(ref.ID.GroupKind)
		if checks.All && judged && ref.ID != self && !skipped(o.Object) {
			refs = append(refs, ref)
		}
	}
	if checks.All {
		return refs
	}
	for _, named := range checks.Named {
		if ref := namedRef(named, known, self.Namespace); ref.ID != self {
			refs = append(refs, ref)
		}
	}
	return refs
}

// namedRef is the applied object of that name, or one beside them. Without a namespace it is the subject's own, or none.
func namedRef(named meta.NamespacedObjectKindReference, known map[inventory.ID]Ref, namespace string) Ref {
	ref := Ref{Entry: namedEntry(named, namespace)}
	if applied, found := known[ref.ID]; found {
		return applied
	}
	if id := ref.ID; named.Namespace == "" {
		id.Namespace = ""
		if applied, found := known[id]; found {
			return applied
		}
	}
	return ref
}

func namedEntry(ref meta.NamespacedObjectKindReference, namespace string) inventory.Entry {
	version := ref.APIVersion
	if version == "" {
		version = "apps/v1"
	}
	gvk := schema.FromAPIVersionAndKind(version, ref.Kind)
	if ref.Namespace != "" {
		namespace = ref.Namespace
	}
	return inventory.Entry{ID: inventory.ID{Namespace: namespace, Name: ref.Name, GroupKind: gvk.GroupKind()}, Version: gvk.Version}
}

// skipped says whether an object asks not to be applied, so that its health says nothing about this attempt.
func skipped(o *unstructured.Unstructured) bool {
	for _, set := range []map[string]string{o.GetAnnotations(), o.GetLabels()} {
		for key, value := range set {
			_, name, _ := strings.Cut(key, ".toolkit.fluxcd.io/")
			if (name == "reconcile" && strings.EqualFold(value, kustomizev1.DisabledValue)) ||
				(name == "ssa" && strings.EqualFold(value, kustomizev1.IgnoreValue)) {
				return true
			}
		}
	}
	return false
}
