package attempt

import (
	"time"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/content"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// Progress is what a restart must not lose of a subject. It is kept on disk.
type Progress struct {
	Goal     plan.Goal  `json:"goal"`
	Stage    plan.Stage `json:"stage"`
	Cause    plan.Cause `json:"cause,omitempty"`
	Outcome  string     `json:"outcome,omitempty"`
	Reported string     `json:"reported,omitempty"`
	Message  string     `json:"message,omitempty"`

	// Stalled says that the failure is not retried.
	Stalled bool `json:"stalled,omitempty"`
	// Failures is how many attempts have failed in a row at the same content.
	Failures int `json:"failures,omitempty"`
	// Release is the version that the attempt has recorded in Helm's storage, Action why; 0 when none.
	Release int    `json:"release,omitempty"`
	Action  string `json:"action,omitempty"`

	Started   time.Time `json:"started"`
	AppliedAt time.Time `json:"appliedAt"`
	EndedAt   time.Time `json:"endedAt"`

	// Change is what was changed since the last outcome that was reported; nil when nothing was.
	Change *v1alpha1.ChangeSet `json:"change,omitempty"`

	// LastApplied is the content that heals the cluster: the latest of which anything was written.
	LastApplied content.Ref `json:"held"`
}

// ReachedPrune says whether the attempt went as far as pruning, so that the inventory is what it left.
func (p Progress) ReachedPrune() bool {
	return p.Stage == plan.Ended && (p.Outcome == plan.ReasonSucceeded || p.Outcome == plan.ReasonPruneFailed || p.Outcome == plan.ReasonHealthCheckFailed)
}

// ReachedCluster says whether the attempt ended after it had come as far as the cluster: then it is a line of history, as
// in Flux.
func (p Progress) ReachedCluster() bool {
	switch p.Outcome {
	case plan.ReasonSucceeded, plan.ReasonApplyFailed, plan.ReasonPruneFailed, plan.ReasonHealthCheckFailed:
		return true
	}
	return false
}

// WorthSaving says whether a restart should know how the attempt ended: not if it found everything as it was.
func (p Progress) WorthSaving() bool {
	return p.Outcome != plan.ReasonSucceeded || p.Release != 0 || (p.Cause != plan.Moved && p.Cause != plan.Verify)
}
