// Package v1alpha1 holds Sluice's own kinds: the records that render-controller and sync-controller keep beside each
// Kustomization and HelmRelease.
//
// A record is named <kind>-<name> of its subject (see [RecordName]), lives in the subject's namespace and is owned by
// it. It has status.conditions, so that kubectl wait works, but neither a status subresource nor an observedGeneration:
// a record has no desired state of its own, it is written whole in one request, and the generation it speaks about is
// subject.generation.
//
// Read [Render] first: what was rendered from what, or why not. Then [Sync]: what became of it in the cluster. [RecordName]
// names both.
//
// No record ever holds a secret value or a plain hash of one. The types are plain values: a copy is DeepCopy's.
//
// +kubebuilder:object:generate=true
// +groupName=sluice.dev
package v1alpha1

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "sluice.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &Render{}, &RenderList{}, &Sync{}, &SyncList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
