package render

import (
	"encoding/json"

	"github.com/sluice-gitops/sluice/render-controller/internal/helm"
	"github.com/sluice-gitops/sluice/render-controller/internal/kustomize"
	"github.com/sluice-gitops/sluice/render-controller/internal/trace"
)

// Reasons of a failure, which are Flux's.
const (
	ReasonArtifact = "ArtifactFailed"
	ReasonBuild    = "BuildFailed"
	// ReasonVersion is for a chart that is not the one its source announces.
	ReasonVersion = "ChartMutateError"
)

// Job is what one rendering depends on. Exactly one of Kustomize and Helm is set. It may hold secret values.
type Job struct {
	// Tree is where [tree.OpenView] opens the source artifact, for Kustomize.
	Tree      string           `json:"tree,omitempty"`
	Kustomize *kustomize.Input `json:"kustomize,omitempty"`
	// Decryption is nil when spec.decryption is not set.
	Decryption *Decryption `json:"decryption,omitempty"`
	Helm       *helm.Input `json:"helm,omitempty"`
}

// Decryption says how SOPS is to be read. The keys stay with the parent.
type Decryption struct {
	// WarnOnMAC goes on when the MAC of a file does not fit.
	WarnOnMAC bool `json:"warnOnMAC,omitempty"`
}

// Failure is a rendering that failed for a reason that the user can mend.
type Failure struct {
	// Reason is Flux's.
	Reason string `json:"reason"`
	// Message names the file and says what is wrong. It holds no secret value.
	Message string `json:"message"`
	// Lost is set when a worker did not live to the end of it.
	Lost bool `json:"-"`
}

func (f *Failure) Error() string { return f.Message }

// part is one object on its way from the child.
type part struct {
	Tainted bool            `json:"tainted,omitempty"`
	Phase   string          `json:"phase,omitempty"`
	Object  json.RawMessage `json:"object"`
}

// outcome ends a rendering on its way from the child.
type outcome struct {
	Failure  *Failure        `json:"failure,omitempty"`
	Objects  int             `json:"objects,omitempty"`
	Release  json.RawMessage `json:"release,omitempty"`
	Identity [][]byte        `json:"identity,omitempty"`
	Version  string          `json:"version,omitempty"`
	Trace    []trace.Entry   `json:"trace,omitempty"`
	Warnings []string        `json:"warnings,omitempty"`
}
