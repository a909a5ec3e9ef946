package apply

import (
	"encoding/json"
	"fmt"

	"github.com/fluxcd/pkg/ssa"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// takeover returns the merge patch that makes us the owner of what kubectl, or we ourselves by other means than an apply,
// left on a live object; nil when there is nothing of that kind. Without it a field that was once set by hand and is not
// in the source would stay for ever.
//
// The patch holds the resource version: it fails with a conflict when the object has moved on.
func takeover(live *unstructured.Unstructured, manager string) ([]byte, error) {
	metadata := map[string]any{}
	for _, key := range []string{
		corev1.LastAppliedConfigAnnotation,
		"kustomize.toolkit.fluxcd.io/checksum",
		"fluxcd.io/sync-checksum",
	} {
		if _, found := live.GetAnnotations()[key]; found {
			remove(metadata, "annotations", key)
		}
	}
	if _, found := live.GetLabels()["fluxcd.io/sync-gc-mark"]; found {
		remove(metadata, "labels", "fluxcd.io/sync-gc-mark")
	}
	patches, err := ssa.PatchReplaceFieldsManagers(live, formerManagers(manager), manager)
	if err != nil {
		return nil, fmt.Errorf("merge field managers: %w", err)
	}
	for _, p := range patches {
		metadata["managedFields"] = p.Value
	}
	if len(metadata) == 0 {
		return nil, nil
	}
	metadata["resourceVersion"] = live.GetResourceVersion()
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	return patch, nil
}

func remove(metadata map[string]any, field, key string) {
	values, _ := metadata[field].(map[string]any)
	if values == nil {
		values = map[string]any{}
		metadata[field] = values
	}
	values[key] = nil
}

// formerManagers are those whose fields become ours, as in Flux: kubectl under all its names, and our own updates.
func formerManagers(manager string) []ssa.FieldManager {
	return []ssa.FieldManager{
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: manager, ExactMatch: true, OperationType: metav1.ManagedFieldsOperationUpdate},
	}
}
