package apply

import (
	"bytes"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// comparedMetadata are the parts of metadata that a source can declare.
func comparedMetadata() []string {
	return []string{"labels", "annotations", "finalizers", "ownerReferences"}
}

// differs says whether an apply that would give the object tried changes anything of live: a value outside of status, or
// which fields are ours. The latter matters: a field that somebody changed and changed back is no longer ours, and its next
// change would go unnoticed.
func differs(live, tried *unstructured.Unstructured, manager string) bool {
	for _, field := range comparedMetadata() {
		was, _, _ := unstructured.NestedFieldNoCopy(live.Object, "metadata", field)
		is, _, _ := unstructured.NestedFieldNoCopy(tried.Object, "metadata", field)
		if !equality.Semantic.DeepEqual(was, is) {
			return true
		}
	}
	if !bytes.Equal(appliedSet(live, manager), appliedSet(tried, manager)) {
		return true
	}
	return !equality.Semantic.DeepEqual(body(live), body(tried))
}

// appliedSet returns which fields the manager applied, in the API server's canonical JSON.
func appliedSet(o *unstructured.Unstructured, manager string) []byte {
	entry := AppliedFields(o.GetManagedFields(), manager)
	if entry == nil || entry.FieldsV1 == nil {
		return nil
	}
	return entry.FieldsV1.GetRawBytes()
}

// body returns the object without metadata and status.
func body(o *unstructured.Unstructured) map[string]any {
	reduced := make(map[string]any, len(o.Object))
	for field, value := range o.Object {
		if field != "metadata" && field != "status" {
			reduced[field] = value
		}
	}
	return reduced
}

// metadataOf returns what a fingerprint is made from, and little more.
func metadataOf(o *unstructured.Unstructured, manager string) *metav1.PartialObjectMetadata {
	kept := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace:       o.GetNamespace(),
		Name:            o.GetName(),
		UID:             o.GetUID(),
		ResourceVersion: o.GetResourceVersion(),
		Generation:      o.GetGeneration(),
		Labels:          o.GetLabels(),
	}}
	kept.SetGroupVersionKind(o.GroupVersionKind())
	if entry := AppliedFields(o.GetManagedFields(), manager); entry != nil {
		kept.ManagedFields = []metav1.ManagedFieldsEntry{*entry}
	}
	return kept
}
