package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SyncKind is the kind of [Sync].
const SyncKind = "Sync"

// Health states, worst last.
const (
	HealthHealthy     = "Healthy"
	HealthProgressing = "Progressing"
	HealthUnknown     = "Unknown"
	HealthFailed      = "Failed"
)

// Health sums up the objects that the subject asks to be checked.
type Health struct {
	// State is Healthy, Progressing, Unknown (nothing is checked) or Failed.
	// +required
	State string `json:"state"`
	// Ready and Total count the checked objects, for example 3 of 4.
	// +optional
	Ready int64 `json:"ready,omitempty"`
	// +optional
	Total int64 `json:"total,omitempty"`
	// Summary is Ready/Total as text, for kubectl's column.
	// +optional
	Summary string `json:"summary,omitempty"`
	// Waiting names at most ten objects that are not healthy, each with why.
	// +optional
	Waiting []string `json:"waiting,omitempty"`
}

// Drift tells of foreign changes to applied objects that were corrected.
type Drift struct {
	// Corrections since the record was created.
	// +required
	Corrections int64 `json:"corrections"`
	// LastAt is when the latest was corrected.
	// +optional
	LastAt *metav1.Time `json:"lastAt,omitempty"`
	// Object is the latest corrected, as Kind/namespace/name.
	// +optional
	Object string `json:"object,omitempty"`
	// Manager is the field manager that had changed it, when it is known.
	// +optional
	Manager string `json:"manager,omitempty"`
}

// ChangeSet is what the latest apply that changed anything did.
type ChangeSet struct {
	// Revision of the source whose content was applied.
	// +required
	Revision string `json:"revision"`
	// At is when the apply ended.
	// +required
	At metav1.Time `json:"at"`
	// +optional
	Created int64 `json:"created,omitempty"`
	// +optional
	Configured int64 `json:"configured,omitempty"`
	// +optional
	Unchanged int64 `json:"unchanged,omitempty"`
	// +optional
	Deleted int64 `json:"deleted,omitempty"`
	// Entries are at most fifty changed objects, as "Kind/namespace/name created".
	// +optional
	Entries []string `json:"entries,omitempty"`
}

// Attempt is one line of a subject's history.
type Attempt struct {
	// Revision that was attempted.
	// +required
	Revision string `json:"revision"`
	// Tag of the content that was attempted (see [Rendering]).
	// +optional
	Tag string `json:"tag,omitempty"`
	// Outcome is the reason of the Ready condition that ended the attempt.
	// +required
	Outcome string `json:"outcome"`
	// At is when it ended.
	// +required
	At metav1.Time `json:"at"`
}

// Release is what Helm's storage holds for a HelmRelease, and what the next rendering has to be made for.
type Release struct {
	// Name, Namespace and StorageNamespace are Helm's.
	// +required
	Name string `json:"name"`
	// +required
	Namespace string `json:"namespace"`
	// +required
	StorageNamespace string `json:"storageNamespace"`
	// Revision is the latest recorded; 0 when nothing is recorded.
	// +optional
	Revision int `json:"revision,omitempty"`
	// Next are the parameters the next rendering has to be made with. render-controller follows them.
	// +required
	Next ReleaseParameters `json:"next"`
}

// SyncStatus holds the outcome of the latest attempt.
type SyncStatus struct {
	// Conditions: Ready repeats the subject's verdict, Synced says whether the cluster holds the latest accepted content,
	// and Healthy whether what was applied works.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Sync records what Flux's status has no room for: synced or not, health, drift, the last change set, what an attempt
// waits for, and history. Only sync-controller writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=all;sluice
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Synced",type=string,JSONPath=`.status.conditions[?(@.type=="Synced")].status`
// +kubebuilder:printcolumn:name="Health",type=string,JSONPath=`.health.state`
// +kubebuilder:printcolumn:name="Healthy",type=string,JSONPath=`.health.summary`
// +kubebuilder:printcolumn:name="Changed-At",type=string,JSONPath=`.lastChange.revision`
// +kubebuilder:printcolumn:name="Healed",type=integer,JSONPath=`.drift.corrections`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Sync struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Subject as it was read for the latest attempt.
	// +required
	Subject Subject `json:"subject"`
	// Tag of the content that is applied (see [Rendering]).
	// +optional
	Tag string `json:"tag,omitempty"`
	// +optional
	Health Health `json:"health,omitempty"`
	// +optional
	Drift *Drift `json:"drift,omitempty"`
	// +optional
	LastChange *ChangeSet `json:"lastChange,omitempty"`
	// BlockedBy names what an attempt waits for, for example Kustomization/ns/name of an unready dependency.
	// +optional
	BlockedBy []string `json:"blockedBy,omitempty"`
	// History holds the latest ten attempts that changed something or failed, the newest first.
	// +optional
	History []Attempt `json:"history,omitempty"`
	// +optional
	Release *Release `json:"release,omitempty"`
	// +optional
	Status SyncStatus `json:"status,omitempty"`
}

// SyncList is a list of [Sync].
//
// +kubebuilder:object:root=true
type SyncList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Sync `json:"items"`
}

// GetConditions returns the conditions, for Flux's condition helpers.
func (in *Sync) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions, for Flux's condition helpers.
func (in *Sync) SetConditions(conditions []metav1.Condition) { in.Status.Conditions = conditions }
