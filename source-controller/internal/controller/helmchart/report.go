package helmchart

import (
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/report"
)

// note writes into the status what its chart was made of.
func note(obj *sourcev1.HelmChart, made sourcev1.HelmChartStatus) {
	obj.Status.ObservedSourceArtifactRevision = made.ObservedSourceArtifactRevision
	obj.Status.ObservedChartName, obj.Status.ObservedValuesFiles = made.ObservedChartName, made.ObservedValuesFiles
}

// packaged says what was packaged, from nothing but the status.
func packaged(s sourcev1.HelmChartStatus) string {
	text := fmt.Sprintf("packaged '%s' chart with version '%s'", s.ObservedChartName, s.Artifact.Revision)
	if len(s.ObservedValuesFiles) > 0 {
		text += fmt.Sprintf(" and merged values files %v", s.ObservedValuesFiles)
	}
	return text
}

func change() report.Change {
	return report.Change{Reason: sourcev1.ChartPackageSucceededReason}
}
