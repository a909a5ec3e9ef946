package apply

import (
	"bytes"
	"context"
	"encoding/base64"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Some fields are filled in by controllers of the cluster, whatever a manifest says in their place. Applied, what it says would
// do harm until it is overwritten, and look like drift from then on.

// leaveOut takes such fields off an object.
func leaveOut(desired *unstructured.Unstructured) {
	switch desired.GroupVersionKind().GroupKind() {
	case schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}:
		// Aggregated rules come from other roles; manifests say "rules: []" all the same.
		if desired.Object["aggregationRule"] != nil {
			unstructured.RemoveNestedField(desired.Object, "rules")
		}
	case schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"},
		schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"}:
		webhooks, _ := desired.Object["webhooks"].([]any)
		for _, webhook := range webhooks {
			config, _ := member(webhook, "clientConfig").(map[string]any)
			dropPlaceholder(config)
		}
	case schema.GroupKind{Group: "apiregistration.k8s.io", Kind: "APIService"}:
		spec, _ := desired.Object["spec"].(map[string]any)
		dropPlaceholder(spec)
	}
}

// dropPlaceholder takes off a blank caBundle, such as Cg==: it holds the place for one that is injected.
func dropPlaceholder(config map[string]any) {
	text, set := config["caBundle"].(string)
	if !set {
		return
	}
	if bundle, err := base64.StdEncoding.DecodeString(text); err == nil && len(bytes.TrimSpace(bundle)) == 0 {
		delete(config, "caBundle")
	}
}

// markScaled marks the workloads that an autoscaler of the set scales and whose replicas the source leaves to it.
func markScaled(items []item) {
	type target struct{ kind, namespace, name string }
	scaled := map[target]autoscaler{}
	for _, it := range items {
		switch it.entry.ID.GroupKind {
		case schema.GroupKind{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}, schema.GroupKind{Group: "keda.sh", Kind: "ScaledObject"}:
			ref, _, _ := unstructured.NestedStringMap(it.desired.Object, "spec", "scaleTargetRef")
			kind := ref["kind"]
			if kind == "" {
				kind = "Deployment" // as KEDA has it
			}
			by := startsFromOne
			if it.entry.ID.GroupKind.Group == "keda.sh" {
				by = startsFromZero
			}
			scaled[target{kind, it.entry.ID.Namespace, ref["name"]}] = by
		}
	}
	for i, it := range items {
		id := it.entry.ID
		_, set, _ := unstructured.NestedFieldNoCopy(it.desired.Object, "spec", "replicas")
		if !set {
			items[i].scaled = scaled[target{id.GroupKind.Kind, id.Namespace, id.Name}]
		}
	}
}

// autoscaler is what has the replicas of an object. Kubernetes' own leaves one alone that has none: it is off.
type autoscaler int

const (
	startsFromOne autoscaler = iota + 1
	startsFromZero
)

// keepReplicas goes on with the replicas of the live object when they were ours, and are an autoscaler's from now on: taken
// back, they would fall to one before it scales up again. They cease to be ours when it scales for the first time.
func (r *run) keepReplicas(ctx context.Context, s *step, tried *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	entry := AppliedFields(s.live.GetManagedFields(), r.FieldManager)
	replicas, found, _ := unstructured.NestedInt64(s.live.Object, "spec", "replicas")
	if entry == nil || !found || replicas == 0 && s.scaled == startsFromOne {
		return tried, nil
	}
	ours, err := setOf(*entry)
	if err != nil || !ours.Has(fieldpath.MakePathOrDie("spec", "replicas")) {
		return tried, nil //nolint:nilerr // marks that cannot be read are for the comparison to report
	}
	s.desired = s.desired.DeepCopy()
	if err := unstructured.SetNestedField(s.desired.Object, replicas, "spec", "replicas"); err != nil {
		return tried, nil //nolint:nilerr // there is a spec, or nothing would be scaled
	}
	return r.try(ctx, s.item)
}
