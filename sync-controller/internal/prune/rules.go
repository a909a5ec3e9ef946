package prune

import (
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// releaseNameAnnotation is on every object that a chart's templates rendered, and on no definition of its crds/: those are
// no part of the release, and Helm never deletes them, with everything that was made of them.
const releaseNameAnnotation = "meta.helm.sh/release-name"

// mayDelete says whether a live object may be deleted on behalf of the owner: it still carries the owner's labels, and has
// no annotation or label that keeps it. Values are compared without regard to case and, as Helm does, to blanks around them.
func mayDelete(live *metav1.PartialObjectMetadata, owner inventory.Owner) bool {
	if !owner.Owns(live.Labels) {
		return false
	}
	keep := map[string]string{
		owner.Group + "/prune":     kustomizev1.DisabledValue,
		owner.Group + "/reconcile": kustomizev1.DisabledValue,
		owner.Group + "/ssa":       kustomizev1.IgnoreValue,
	}
	if owner.Group == helmv2.GroupVersion.Group {
		keep["helm.sh/resource-policy"] = "keep"
		if live.Kind == "CustomResourceDefinition" && live.Annotations[releaseNameAnnotation] == "" {
			return false
		}
	}
	for key, value := range keep {
		if strings.EqualFold(strings.TrimSpace(live.Annotations[key]), value) || strings.EqualFold(live.Labels[key], value) {
			return false
		}
	}
	return true
}
