package gitrepository

import (
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/report"
)

// note writes into the status what its artifact was made with.
func note(included []*meta.Artifact) func(obj *sourcev1.GitRepository) {
	return func(obj *sourcev1.GitRepository) {
		spec, status := obj.Spec, &obj.Status
		status.ObservedIgnore, status.ObservedSparseCheckout = spec.Ignore, spec.SparseCheckout
		status.ObservedRecurseSubmodules = spec.RecurseSubmodules
		status.ObservedInclude, status.IncludedArtifacts = spec.Include, included
		status.SourceVerificationMode = nil
		if spec.Verification != nil {
			mode := spec.Verification.GetMode()
			status.SourceVerificationMode = &mode
		}
	}
}

// change is what is said about a new artifact; without the commit's subject, the Ready condition says it.
func change(subject string) report.Change {
	if subject == "" {
		return report.Change{}
	}
	return report.Change{Message: fmt.Sprintf("stored artifact for commit '%s'", subject)}
}
