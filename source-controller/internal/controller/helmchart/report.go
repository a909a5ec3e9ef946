package helmchart

import (
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
)

// note writes into the status what its chart was made of.
func note(obj *sourcev1.HelmChart, chart made) {
	obj.Status.ObservedSourceArtifactRevision = chart.source
	obj.Status.ObservedChartName, obj.Status.ObservedValuesFiles = chart.name, chart.valuesFiles
}

// done is the reason and the message about a chart, from nothing but what the status has of it.
func done(spec sourcev1.HelmChartSpec, chart made) (reason, message string) {
	reason, verb := sourcev1.ChartPullSucceededReason, "pulled"
	if plan.Packaged(spec) {
		reason, verb = sourcev1.ChartPackageSucceededReason, "packaged"
	}
	message = fmt.Sprintf("%s '%s' chart with version '%s'", verb, chart.name, chart.artifact.Revision)
	if len(chart.valuesFiles) > 0 {
		message += fmt.Sprintf(" and merged values files %v", chart.valuesFiles)
	}
	return reason, message
}

// Change is what is said about a new chart: what its Ready condition says.
func Change() report.Change { return report.Change{AsReady: true} }
