package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// maxNameLength is the longest name the API server takes for an object of ours.
const maxNameLength = 253

// hashLength is how many hex digits of the full name's SHA-256 end a shortened name.
const hashLength = 10

// Subject is the Kustomization or HelmRelease that a record is about, exactly as its writer last read it.
type Subject struct {
	// Kind is Kustomization or HelmRelease.
	// +required
	Kind string `json:"kind"`
	// Name is the subject's name; its namespace is the record's own.
	// +required
	Name string `json:"name"`
	// UID is the subject's UID: a recreated subject of the same name is another subject.
	// +required
	UID types.UID `json:"uid"`
	// Generation is the metadata.generation that was read.
	// +required
	Generation int64 `json:"generation"`
	// RequestedAt is the value of the annotation reconcile.fluxcd.io/requestedAt that was read; empty without one.
	// +optional
	RequestedAt string `json:"requestedAt,omitempty"`
}

// Source is the revision of the source object that a record speaks about.
type Source struct {
	// Kind of the source, for example GitRepository.
	// +required
	Kind string `json:"kind"`
	// Namespace of the source.
	// +required
	Namespace string `json:"namespace"`
	// Name of the source.
	// +required
	Name string `json:"name"`
	// UID of the source.
	// +optional
	UID types.UID `json:"uid,omitempty"`
	// Revision of the source's artifact, for example main@sha1:<40 hex digits>; empty while there is no artifact.
	// +optional
	Revision string `json:"revision,omitempty"`
	// OriginRevision is the revision the artifact was made from, when its producer says so.
	// +optional
	OriginRevision string `json:"originRevision,omitempty"`
	// Digest of the source's artifact, <algorithm>:<hex>.
	// +optional
	Digest string `json:"digest,omitempty"`
}

// RecordName is the name of the Render and of the Sync of a subject: <kind>-<name> in lower case. A longer name than the
// API server takes is cut, and ended with a hash of the whole, so that two long names never meet.
func RecordName(kind, name string) string {
	full := strings.ToLower(kind) + "-" + name
	if len(full) <= maxNameLength {
		return full
	}
	sum := sha256.Sum256([]byte(full))
	return strings.TrimRight(full[:maxNameLength-hashLength-1], "-.") + "-" + hex.EncodeToString(sum[:])[:hashLength]
}
