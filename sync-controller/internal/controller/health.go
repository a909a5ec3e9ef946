package controller

import (
	"context"
	"strings"

	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/record"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// checkHealth looks once at what is not known to be healthy, and at what has moved since.
func (r *reconciliation) checkHealth(ctx context.Context, state plan.State) error {
	m := r.memory
	moved := m.pending.TakeHealth()
	if err := r.trackHealth(); err != nil {
		return err
	}
	t, err := r.target()
	if err != nil {
		return err
	}
	report, err := m.health.Check(ctx, t.Client, moved, subject.InventoryOf(r.subject), m.fingerprints.IsDone)
	if err != nil {
		return err
	}
	r.health = &plan.Health{State: report.State(), Message: strings.Join(report.Waiting(record.MaxWaiting), ", ")}
	if state.Attempt.Stage == plan.Ended {
		m.record.SetHealth(true, &m.health, r.now)
		return r.writeRecord(ctx)
	}
	return nil
}

// trackHealth finds out again, after a restart, which objects are checked.
func (r *reconciliation) trackHealth() error {
	if r.memory.health.Tracks() {
		return nil
	}
	opened, err := r.lastApplied()
	if err != nil {
		return err
	}
	return r.memory.health.Track(r.subject.HealthChecks(), opened, r.Kind.ID(r.key))
}
