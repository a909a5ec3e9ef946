package apply

import (
	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rules are the annotations (or labels) by which an object steers how it is applied, under the owner's API group:
//
//	ssa: Ignore            leave the object alone
//	ssa: IfNotPresent      create it, never change it
//	ssa: Merge             apply it, but keep what kubectl set
//	reconcile: disabled    leave the object alone
//	force: enabled         recreate it when a field is immutable
//	force: disabled        do not, even if the subject has spec.force
//
// Values are compared without regard to case. A nil live object is one that does not exist. An object of a Helm release
// has one more, which counts only while others' changes are corrected:
//
//	driftDetection: disabled   leave the object alone
type rules struct {
	group      string
	correcting bool
}

// mayLeaveAlone says whether the desired object has one of the rules by which an existing one is left alone.
func (r rules) mayLeaveAlone(desired *unstructured.Unstructured) bool {
	return r.leaveAlone(desired, desired)
}

func (r rules) leaveAlone(desired, live *unstructured.Unstructured) bool {
	off := map[string]string{r.group + "/reconcile": kustomizev1.DisabledValue}
	ignored := map[string]string{r.group + "/ssa": kustomizev1.IgnoreValue}
	if anyIn(off, desired, live) || anyIn(ignored, desired, live) {
		return true
	}
	undetected := map[string]string{helmv2.DriftDetectionMetadataKey: helmv2.DriftDetectionDisabledValue}
	if r.correcting && r.group == helmv2.GroupVersion.Group && anyIn(undetected, desired, live) {
		return true
	}
	once := map[string]string{r.group + "/ssa": kustomizev1.IfNotPresentValue}
	return live != nil && anyIn(once, desired)
}

func (r rules) keepForeignFields(desired, live *unstructured.Unstructured) bool {
	return anyIn(map[string]string{r.group + "/ssa": kustomizev1.MergeValue}, desired, live)
}

func (r rules) recreate(desired, live *unstructured.Unstructured) bool {
	return anyIn(map[string]string{r.group + "/force": kustomizev1.EnabledValue}, desired, live)
}

func (r rules) neverRecreate(desired, live *unstructured.Unstructured) bool {
	return anyIn(map[string]string{r.group + "/force": kustomizev1.DisabledValue}, desired, live)
}

func anyIn(want map[string]string, objects ...*unstructured.Unstructured) bool {
	for _, o := range objects {
		if o != nil && utils.AnyInMetadata(o, want) {
			return true
		}
	}
	return false
}
