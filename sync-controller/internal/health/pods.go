package health

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// podsAsked is how many pods of a workload are looked at.
const podsAsked = 20

// runsPods says whether objects of the kind have pods that their spec.selector finds.
func runsPods(kind schema.GroupVersionKind) bool {
	switch kind.GroupKind() {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"},
		schema.GroupKind{Group: "apps", Kind: "StatefulSet"},
		schema.GroupKind{Group: "apps", Kind: "DaemonSet"},
		schema.GroupKind{Group: "apps", Kind: "ReplicaSet"},
		schema.GroupKind{Group: "batch", Kind: "Job"}:
		return true
	}
	return false
}

// podReason asks some pods of a workload what they are waiting for; empty when none says. It is a courtesy: what cannot be
// read is left out. What a container printed is never repeated, only what Kubernetes says about it.
func podReason(ctx context.Context, reader client.Reader, workload *unstructured.Unstructured, tainted bool) string {
	found, _, err := unstructured.NestedMap(workload.Object, "spec", "selector")
	if err != nil || len(found) == 0 {
		return ""
	}
	var labels metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found, &labels); err != nil {
		return ""
	}
	selector, err := metav1.LabelSelectorAsSelector(&labels)
	if err != nil {
		return ""
	}
	pods := &unstructured.UnstructuredList{}
	pods.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	err = reader.List(ctx, pods, client.InNamespace(workload.GetNamespace()),
		client.MatchingLabelsSelector{Selector: selector}, client.Limit(podsAsked))
	if err != nil {
		return ""
	}
	for i := range pods.Items {
		var pod corev1.Pod
		if runtime.DefaultUnstructuredConverter.FromUnstructured(pods.Items[i].Object, &pod) != nil {
			continue
		}
		if reason := waitingReason(&pod, tainted); reason != "" {
			return reason
		}
	}
	return ""
}

// waitingReason is what keeps a pod from running; empty when nothing does.
func waitingReason(pod *corev1.Pod, tainted bool) string {
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		w := c.State.Waiting
		if w == nil || w.Reason == "" || w.Reason == "ContainerCreating" || w.Reason == "PodInitializing" {
			continue
		}
		return say(w.Reason, w.Message, tainted)
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return say(c.Reason, c.Message, tainted)
		}
	}
	if pod.Status.Phase == corev1.PodFailed {
		return say(pod.Status.Reason, pod.Status.Message, tainted)
	}
	return ""
}

func say(reason, message string, tainted bool) string {
	if tainted || message == "" {
		return reason
	}
	return reason + ": " + message
}
