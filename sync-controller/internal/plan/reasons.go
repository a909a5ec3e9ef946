package plan

import (
	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
)

// Reasons of the Ready condition, as Flux writes them. A HelmRelease reports its
// attempts with reasons of its own (InstallFailed and so on).
const (
	ReasonSucceeded         = meta.ReconciliationSucceededReason
	ReasonApplyFailed       = meta.ReconciliationFailedReason
	ReasonProgressing       = meta.ProgressingReason
	ReasonRetrying          = meta.ProgressingWithRetryReason
	ReasonDependency        = meta.DependencyNotReadyReason
	ReasonPruneFailed       = meta.PruneFailedReason
	ReasonHealthCheckFailed = meta.HealthCheckFailedReason
	ReasonArtifactFailed    = meta.ArtifactFailedReason
	ReasonBuildFailed       = meta.BuildFailedReason
	ReasonAccessDenied      = acl.AccessDeniedReason
	ReasonInvalidExpression = meta.InvalidCELExpressionReason
	// ReasonStateError says that Helm's storage could not be read.
	ReasonStateError = "StateError"
	// ReasonKindMissing says that a release has objects of kinds that are not installed; nothing was recorded of it.
	ReasonKindMissing = "KindMissing"
	// ReasonRetriesExceeded stalls a HelmRelease that failed and is not to be retried.
	ReasonRetriesExceeded = "RetriesExceeded"
	// ReasonInvalidSpec stalls a subject whose spec asks for something that is not served.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonFluxRunning stalls every subject while Flux's own controllers would fight for it.
	ReasonFluxRunning = "FluxRunning"
)
