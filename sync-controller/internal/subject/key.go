package subject

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// Key names a subject.
type Key struct {
	// Kind is Kustomization or HelmRelease.
	Kind string
	// Namespace and Name are the subject's.
	Namespace, Name string
}

// String returns Kind/namespace/name.
func (k Key) String() string { return k.Kind + "/" + k.Namespace + "/" + k.Name }

// Object is where the subject itself is.
func (k Key) Object() types.NamespacedName {
	return types.NamespacedName{Namespace: k.Namespace, Name: k.Name}
}

// Record is where the subject's records are, Render and Sync alike.
func (k Key) Record() types.NamespacedName {
	return types.NamespacedName{Namespace: k.Namespace, Name: v1alpha1.RecordName(k.Kind, k.Name)}
}

// SourceKey is the source of a Render as [Subject.Source] has it.
func SourceKey(s v1alpha1.Source) string { return s.Kind + "/" + s.Namespace + "/" + s.Name }
