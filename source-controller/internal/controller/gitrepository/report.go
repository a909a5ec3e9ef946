package gitrepository

import (
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/report"
)

// note writes into the status what its artifact was made with.
func note(obj *sourcev1.GitRepository) {
	obj.Status.ObservedIgnore = obj.Spec.Ignore
	obj.Status.ObservedSparseCheckout = obj.Spec.SparseCheckout
	// What Flux may have left does not hold for this artifact.
	obj.Status.ObservedRecurseSubmodules, obj.Status.ObservedInclude, obj.Status.IncludedArtifacts = false, nil, nil
	obj.Status.SourceVerificationMode = nil
}

// change is what is said about a new artifact; without the commit's subject, the Ready condition says it.
func change(subject string) report.Change {
	if subject == "" {
		return report.Change{}
	}
	return report.Change{Message: fmt.Sprintf("stored artifact for commit '%s'", subject)}
}
