package journal

import (
	"github.com/go-logr/logr"

	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// Decided logs a decision that does something. One that only goes on waiting, or says again what was said, is none.
func (m *Memory) Decided(log logr.Logger, a plan.Action) {
	before := m.decided
	m.decided = a
	if a.Step == plan.Idle || ends(a) && before.Step == a.Step && before.Rule == a.Rule {
		return
	}
	log.V(logkey.Debug).Info("decided", logkey.Step, a.Step, logkey.Rule, a.Rule)
}

// ends says that nothing follows in the same reconciliation, and that nothing is done but to say so.
func ends(a plan.Action) bool {
	return a.Step == plan.Wait || a.Step == plan.Fail && a.Outside
}
