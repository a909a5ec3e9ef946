package plan

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// State is everything a decision may depend on, observed at one moment.
type State struct {
	Subject Subject
	Status  Status
	// Render is the subject's record by render-controller; nil without one.
	Render *v1alpha1.Render
	// Dependencies is what the subject depends on; looked at when an attempt starts or waits for them.
	Dependencies []Dependency
	// Cycle is the way on which the subject depends on itself, by names; nil when it does not, or was not looked for.
	Cycle []string
	// DependencyPoll is how soon unready dependencies are looked at again when no watch reports anything.
	DependencyPoll time.Duration
	// Attempt is the running or the latest attempt; the zero value before the first.
	Attempt Attempt
	// HasLastApplied says that there is an applied content from which the cluster can be healed.
	HasLastApplied bool
	// FluxRunning names Flux's own controllers when they run in the cluster or are in the content; empty otherwise, or
	// when that is allowed.
	FluxRunning []string
	// Drifted says that watches have reported foreign changes to applied objects that were not looked at yet.
	Drifted bool
	// Missed says that objects may have changed while no watch looked, and were not compared since; MissedFor how long ago
	// that was noticed.
	Missed    bool
	MissedFor time.Duration
	// HealthMoved says that watches have reported status changes of applied objects that were not looked at yet.
	HealthMoved bool
	// Waiting is how long the subject has been waiting for a Render that matches it.
	Waiting time.Duration
	// Deleting is how long the finalizer has been at work.
	Deleting time.Duration
	// Stale says that the inventory holds ids that the applied content does not.
	Stale bool
	// Lagging names the subjects of the same source whose Render is not at the attempt's revision yet.
	Lagging []string
	// Unsynced says that watches have not listed all the kinds of the subject's objects yet.
	Unsynced bool
	// Health is the outcome of a check made for this very decision; nil when none was made.
	Health *Health
	// Reported says that the outcome of the attempt was reported in this very reconciliation.
	Reported bool
	// Release is what Helm's storage and the rendering say about each other; the zero value for a Kustomization.
	Release Release
}

// Subject is the Kustomization or HelmRelease, as far as decisions go.
type Subject struct {
	Kind       string
	Namespace  string
	Name       string
	UID        types.UID
	Generation int64
	// Token is the value of the annotation reconcile.fluxcd.io/requestedAt.
	Token string
	// Deleting says that it has a deletionTimestamp; Finalizer that our finalizer is on it.
	Deleting, Finalizer bool
	Suspended           bool
	// Unsupported names fields of the spec that are set and not served.
	Unsupported []string
	// Invalid says what in the spec can never work; empty when nothing.
	Invalid string
	Prune   bool
	// DeletionPolicy is one of Flux's four.
	DeletionPolicy string
	// Corrects says that foreign changes are corrected (always for a Kustomization).
	Corrects bool
	// Releases says that contents are recorded as releases (a HelmRelease).
	Releases bool
	// Checks says that the health of what was applied decides about success.
	Checks bool
	// Interval between attempts, RetryInterval after a failure, Timeout of health checks.
	Interval, RetryInterval, Timeout time.Duration
}

// Status is what the subject's status says now.
type Status struct {
	// Token is lastHandledReconcileAt.
	Token string
	// Ready is the status of the Ready condition: True, False, Unknown or empty; Reason is its reason.
	Ready, Reason string
	// ReadyGeneration is the Ready condition's observedGeneration.
	ReadyGeneration int64
	// Revision is the one last applied (Kustomization) or attempted (HelmRelease).
	Revision string
}

// Goal is what an attempt is to bring about. Two equal goals are the same work.
type Goal struct {
	UID        types.UID `json:"uid"`
	Generation int64     `json:"generation"`
	Token      string    `json:"token,omitempty"`
	// Revision and OriginRevision of the source.
	Revision       string `json:"revision"`
	OriginRevision string `json:"originRevision,omitempty"`
	// Version of the chart, for a HelmRelease.
	Version string `json:"version,omitempty"`
	// Tag of the content (see rendering.Tag).
	Tag string `json:"tag"`
}

// StatusRevision is what the subject's status calls the goal: a HelmRelease tells of the version of its chart.
func (g Goal) StatusRevision() string {
	if g.Version != "" {
		return g.Version
	}
	return g.Revision
}

// Stage is how far an attempt is.
type Stage string

// The stages, in order.
const (
	None    Stage = ""
	Started Stage = "Started"
	Applied Stage = "Applied"
	Pruned  Stage = "Pruned"
	Ended   Stage = "Ended"
)

// Cause is why an attempt was started. It decides how much of it is needed.
type Cause string

// Causes, the most thorough first.
const (
	// Requested by the user: every object is compared with the cluster.
	Requested Cause = "Requested"
	// Changed content or spec, or a retry: every object is applied that is not known to be as it should.
	Changed Cause = "Changed"
	// Verify compares what is known of the objects, at an interval or after a restart.
	Verify Cause = "Verify"
	// Moved revision with the content that is applied already: nothing to do but to say so.
	Moved Cause = "Moved"
)

// Attempt is the running or the latest attempt.
type Attempt struct {
	Goal  Goal
	Stage Stage
	Cause Cause
	// Outcome is how it ended, in Kustomization's reasons for both kinds; Reported and Message are the reason and message
	// that the Ready condition got. They are empty while it runs.
	Outcome, Reported, Message string
	// Stalled says that only a change of the spec, or a request, brings another attempt.
	Stalled bool
	// Failures is how many attempts have failed in a row at the same content.
	Failures int
	// Verified says that objects were compared with the cluster since this process started.
	Verified bool
	// Age is the time since it started, SinceApplied since its apply, SinceEnded since its end.
	Age, SinceApplied, SinceEnded time.Duration
}

// Succeeded says whether the attempt ended well.
func (a Attempt) Succeeded() bool {
	return a.Stage == Ended && a.Outcome == ReasonSucceeded
}

// Health is what a look at the checked objects found.
type Health struct {
	// State is one of v1alpha1's health states.
	State string
	// Message names the objects that are not healthy, with reasons.
	Message string
}

// Release says, for a HelmRelease, what Helm's storage asks for before the content is applied.
type Release struct {
	// Known says that storage was compared with the content in this attempt.
	Known bool
	// InSync says that the content is released already.
	InSync bool
	// Due says that the content is to be recorded as a new release.
	Due bool
	// Repair says in words what has to be put in order first: a release that a crash left pending, or one of another name.
	Repair string
	// Blocked says why no release is made until something changes; empty when one is.
	Blocked string
	// Next are the parameters that the next release has to be rendered with.
	Next v1alpha1.ReleaseParameters
}
