package apply

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

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
	others, restart := withoutRestart(live)
	patches, err := ssa.PatchReplaceFieldsManagers(others, formerManagers(manager), manager)
	if err != nil {
		return nil, fmt.Errorf("merge field managers: %w", err)
	}
	for _, p := range patches {
		if metadata["managedFields"] = p.Value; restart != nil {
			metadata["managedFields"] = append(p.Value, *restart)
		}
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

// restartFields are what kubectl rollout restart sets, in the API server's canonical JSON.
const restartFields = `{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/restartedAt":{}}}}}}`

// withoutRestart is the object without the mark of kubectl rollout restart, and that mark; nil if it has none. What it sets
// asks for new pods once: taken out, it would ask for new pods again.
func withoutRestart(live *unstructured.Unstructured) (*unstructured.Unstructured, *metav1.ManagedFieldsEntry) {
	entries := live.GetManagedFields()
	at := slices.IndexFunc(entries, func(e metav1.ManagedFieldsEntry) bool {
		restart := strings.ReplaceAll(restartFields, `".":{},`, "") // the template may have annotations of its own
		return e.FieldsV1 != nil && (e.FieldsV1.GetRawString() == restartFields || e.FieldsV1.GetRawString() == restart)
	})
	if at < 0 {
		return live, nil
	}
	without := live.DeepCopy()
	without.SetManagedFields(slices.Delete(slices.Clone(entries), at, at+1))
	return without, &entries[at]
}

func remove(metadata map[string]any, field, key string) {
	values, _ := metadata[field].(map[string]any)
	if values == nil {
		values = map[string]any{}
		metadata[field] = values
	}
	values[key] = nil
}

// helmController is who we are for Helm releases.
const helmController = "helm-controller"

// formerManagers are those whose fields become ours, as in Flux: kubectl under all its names, and our own updates. What helm
// did by hand in a release that has become ours is ours too: what its chart does not set any more would stay otherwise.
func formerManagers(manager string) []ssa.FieldManager {
	former := []ssa.FieldManager{
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: manager, ExactMatch: true, OperationType: metav1.ManagedFieldsOperationUpdate},
	}
	if manager == helmController {
		former = append(former,
			ssa.FieldManager{Name: "helm", ExactMatch: true, OperationType: metav1.ManagedFieldsOperationUpdate}, // Helm 3
			ssa.FieldManager{Name: "helm", ExactMatch: true, OperationType: metav1.ManagedFieldsOperationApply})  // Helm 4
	}
	return former
}
