package release

import (
	helmv2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release/storage"
)

// State is everything [Decide] looks at.
type State struct {
	// Latest is the newest record in storage; nil when there is none.
	Latest *storage.Facts
	// Rendered is what the current rendering asks for.
	Rendered storage.Facts
	// Parameters are those the rendering was made with.
	Parameters v1alpha1.ReleaseParameters

	// Observed is the newest entry of the HelmRelease's status.history; nil when it is empty.
	Observed *helmv2.Snapshot
	// Moved says in words that name, namespace, storage or chart name changed since; see [Moved]. Empty when not.
	Moved string
	// Working is the version that this process is putting into effect right now; 0 when none. A pending record of
	// another version was left by somebody who is gone.
	Working int
	// Failures counts failed attempts of this content since spec, chart version and values last changed; see [Changed].
	Failures int64
	// Forced asks for an install or upgrade whatever the state (annotation reconcile.fluxcd.io/forceAt).
	Forced bool
}

// Step is what to do next.
type Step string

// Steps, as [Decide] returns them.
const (
	// StepNone: storage and rendering agree.
	StepNone Step = "InSync"
	// StepContinue: this process' own attempt is under way.
	StepContinue Step = "Continue"
	// StepInstall: record and apply the rendering as a new release.
	StepInstall Step = "Install"
	// StepUpgrade: record and apply the rendering over what is deployed.
	StepUpgrade Step = "Upgrade"
	// StepUnlock: mark the pending record failed, then decide again.
	StepUnlock Step = "Unlock"
	// StepUninstall: uninstall the release recorded under the old name, namespace or chart, then decide again.
	StepUninstall Step = "Uninstall"
	// StepRender: the rendering was made for other parameters; publish Decision.Next and wait.
	StepRender Step = "NeedRendering"
	// StepBlocked: nothing helps but a change; stall with Decision.Reason.
	StepBlocked Step = "Blocked"
)

// Decision is a step, why, and the parameters the next rendering has to be made with.
type Decision struct {
	Step Step
	// Reason says why in words.
	Reason string
	// Next is what Sync.release.next has to say now.
	Next v1alpha1.ReleaseParameters
}
