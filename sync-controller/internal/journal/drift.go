package journal

import (
	"strings"

	"github.com/go-logr/logr"

	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/sync-controller/internal/events"
)

// Drift logs which objects were put right, and, once for each cause, that some could not be.
func (m *Memory) Drift(log logr.Logger, d events.Drift) {
	for _, one := range d.Corrected {
		found := strings.TrimPrefix(one.Found, one.Object+" was ")
		log.Info("corrected drift of "+one.Object+", "+found, logkey.Resource, one.Object, logkey.Manager, one.Manager, logkey.Reason, events.ReasonDriftCorrected)
	}
	switch d.Refused {
	case m.refused:
	case "":
		log.Info("recovered: drift is corrected", logkey.Reason, events.ReasonDriftCorrected)
	default:
		log.Info("failed to correct drift: "+d.Refused, logkey.Reason, events.ReasonDriftCorrectionFailed)
	}
	m.refused = d.Refused
}

// Gone logs that nothing holds a deleted subject any more, and what became of its objects.
func (m *Memory) Gone(log logr.Logger, deletes bool, n int) {
	if deletes {
		log.Info("finalized, with the deletion of "+objects(int64(n)), logkey.Objects, n)
		return
	}
	log.Info("finalized, leaving "+objects(int64(n))+" in the cluster", logkey.Objects, n)
}
