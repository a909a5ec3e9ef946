package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RenderKind is the kind of [Render].
const RenderKind = "Render"

// Rendering names one sealed rendering: the only ciphertext that sync-controller accepts for the subject.
type Rendering struct {
	// Tag says "same content?" without letting a reader test guesses: hmac-sha256:<hex> over the canonical objects,
	// with a key that only render-controller has.
	// +required
	Tag string `json:"tag"`
	// Digest of the ciphertext, sha256:<hex>.
	// +required
	Digest string `json:"digest"`
	// URL the ciphertext is served at.
	// +required
	URL string `json:"url"`
	// Size of the ciphertext in bytes.
	// +required
	Size int64 `json:"size"`
	// Objects is how many objects the rendering holds.
	// +required
	Objects int64 `json:"objects"`
	// Recipients is the fingerprint of the age recipients it is sealed to (see rendering.Fingerprint).
	// +required
	Recipients string `json:"recipients"`
	// Version of the chart of a HelmRelease. From a source whose tags can be moved it ends with + and the first 12 hex
	// digits of the source's digest, as in Flux.
	// +optional
	Version string `json:"version,omitempty"`
}

// ReleaseParameters are the built-in values a chart's templates may read although they say nothing about the content:
// .Release.Revision, .Release.IsInstall and .Release.IsUpgrade.
type ReleaseParameters struct {
	// Revision is the number the release is recorded under in Helm's storage, from 1.
	// +required
	Revision int `json:"revision"`
	// IsInstall is true for a first install; an upgrade otherwise.
	// +optional
	IsInstall bool `json:"isInstall,omitempty"`
}

// RenderStatus holds the outcome of the latest attempt.
type RenderStatus struct {
	// Conditions: Ready is True when rendering is what subject and source ask for. Otherwise its reason is the one Flux
	// uses on the subject (BuildFailed, ArtifactFailed, …), and rendering is the last good one, if any. It is Unknown while
	// the source has no artifact yet, which is nobody's failure.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Render records what was rendered from what, into which sealed artifact, or why not. Only render-controller writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=all;sluice
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.source.revision`
// +kubebuilder:printcolumn:name="Objects",type=integer,JSONPath=`.rendering.objects`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Content",type=string,priority=1,JSONPath=`.rendering.tag`
type Render struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Subject is what was rendered, as it was read. A reader acts only when it equals the subject it has read itself.
	// +required
	Subject Subject `json:"subject"`
	// Source is what it was rendered from.
	// +optional
	Source Source `json:"source,omitempty"`
	// Rendering is the latest good rendering; absent before the first.
	// +optional
	Rendering *Rendering `json:"rendering,omitempty"`
	// Release holds the parameters that the templates of a HelmRelease were rendered with.
	// +optional
	Release *ReleaseParameters `json:"release,omitempty"`
	// +optional
	Status RenderStatus `json:"status,omitempty"`
}

// RenderList is a list of [Render].
//
// +kubebuilder:object:root=true
type RenderList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Render `json:"items"`
}

// GetConditions returns the conditions, for Flux's condition helpers.
func (in *Render) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions, for Flux's condition helpers.
func (in *Render) SetConditions(conditions []metav1.Condition) { in.Status.Conditions = conditions }
