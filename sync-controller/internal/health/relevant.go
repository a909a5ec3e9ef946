package health

import "k8s.io/apimachinery/pkg/runtime/schema"

// Relevant says whether the health of a kind can change by its status alone, so that a change of it is worth a look. Of the
// kinds that Kubernetes ships only those that run or become something are; every other kind may have conditions.
func Relevant(kind schema.GroupKind) bool {
	switch kind.Group {
	case "":
		switch kind.Kind {
		case "Pod", "PersistentVolumeClaim", "Service", "ReplicationController", "Namespace":
			return true
		}
		return false
	case "apps":
		return kind.Kind != "ControllerRevision"
	case "batch":
		return kind.Kind == "Job"
	case "policy":
		return kind.Kind == "PodDisruptionBudget"
	case "admissionregistration.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling",
		"certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
		"flowcontrol.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io", "rbac.authorization.k8s.io",
		"resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io", "storagemigration.k8s.io":
		return false
	}
	return true
}
