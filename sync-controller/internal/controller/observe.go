package controller

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/coexist"
	"github.com/sluice-gitops/sluice/sync-controller/internal/dependency"
	"github.com/sluice-gitops/sluice/sync-controller/internal/health"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/peers"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// observe gathers everything a decision may depend on. All of it comes from caches and memory.
func (r *reconciliation) observe(ctx context.Context) (plan.State, error) {
	m := r.memory
	state := plan.State{Subject: r.spec(), Status: r.subject.Reported(), HasLastApplied: m.attempt.LastApplied.Digest != "", Health: r.health, Reported: r.reported, DependencyPoll: r.Dependency}
	if state.Subject.Deleting {
		state.Deleting = r.now.Sub(r.subject.Object().GetDeletionTimestamp().Time)
		return state, nil
	}
	if err := r.observeRender(ctx, &state); err != nil {
		return state, err
	}
	var err error
	if state.Dependencies, err = r.dependencies().All(ctx); err != nil {
		return state, err
	}
	if state.FluxRunning, err = r.fluxRunning(ctx); err != nil {
		return state, err
	}
	r.observePending(&state)
	state.Attempt = m.attempt.Plan(r.now)
	if state.Cycle, err = r.cycle(ctx, &state); err != nil {
		return state, err
	}
	state.Unsynced = !r.Managed.Synced(r.owner())
	if state.Attempt.Stage == plan.Applied {
		if err := r.observePrune(ctx, &state); err != nil {
			return state, err
		}
	}
	state.Release = r.release.Observe()
	return state, nil
}

// spec is the spec as decisions see it. Expressions are compiled once per generation.
func (r *reconciliation) spec() plan.Subject {
	m, spec := r.memory, r.subject.Plan()
	if m.validated != spec.Generation {
		m.validated, m.invalid = spec.Generation, invalidExpression(r.subject)
		m.expressions = nil
		m.health.ForgetExpressions()
	}
	spec.Invalid = m.invalid
	return spec
}

// invalidExpression says which expression of the spec cannot be compiled; empty when all can.
func invalidExpression(s subject.Subject) string {
	if _, err := health.Compile(s.HealthChecks().Exprs); err != nil {
		return err.Error()
	}
	return dependency.Invalid(s.DependsOn())
}

// observeRender reads the subject's record, and notes since when none matches.
func (r *reconciliation) observeRender(ctx context.Context, state *plan.State) error {
	found := &v1alpha1.Render{}
	switch err := r.Client.Get(ctx, r.key.Record(), found); {
	case err == nil:
		r.render = found
	case client.IgnoreNotFound(err) == nil:
		r.render = nil
	default:
		return err
	}
	state.Render = r.render
	m := r.memory
	switch {
	case plan.Matches(r.render, state.Subject):
		m.unrenderedSince = time.Time{}
	case m.unrenderedSince.IsZero():
		m.unrenderedSince = r.now
	default:
		state.Waiting = r.now.Sub(m.unrenderedSince)
	}
	return nil
}

// dependencies is what the subject depends on.
func (r *reconciliation) dependencies() dependency.Lookup {
	l := dependency.Lookup{
		Cache: r.Client, Access: r.Access, Kind: r.Kind, Key: r.key, Subject: r.subject, Expressions: &r.memory.expressions,
	}
	if r.render != nil {
		l.Revision = r.render.Source.Revision
	}
	return l
}

// cycle looks whether a subject whose dependencies are not ready waits for itself in the end.
func (r *reconciliation) cycle(ctx context.Context, state *plan.State) ([]string, error) {
	if state.Attempt.Stage != plan.Started || state.Attempt.Age < plan.Patience || len(plan.Blocked(state.Dependencies)) == 0 {
		return nil, nil
	}
	return dependency.Cycle(ctx, r.Client, r.key)
}

// fluxRunning names Flux's own controllers, as the cache and the latest content show them.
func (r *reconciliation) fluxRunning(ctx context.Context) ([]string, error) {
	if r.AllowFlux {
		return nil, nil
	}
	names, err := coexist.InCluster(ctx, r.Client)
	return append(names, r.memory.flux.Names(r.render)...), err
}

// observePending looks at what watches reported. Lost signals make every object worth a comparison.
func (r *reconciliation) observePending(state *plan.State) {
	m := r.memory
	state.Drifted, _ = m.pending.Due(r.now, m.contentions)
	if !state.Subject.Checks {
		m.pending.TakeHealth()
	}
	moved, lost := m.pending.State()
	state.HealthMoved = moved
	if lost && m.attempt.Stage == plan.Ended {
		m.pending.FoundLost()
		m.attempt.Verified, m.unwatchedSince = false, r.now
		r.lookForAll()
	}
	if state.Missed = !m.unwatchedSince.IsZero(); state.Missed {
		state.MissedFor = r.now.Sub(m.unwatchedSince)
	}
}

// observePrune compares the inventory with what was applied, and asks how far the source's other subjects are.
func (r *reconciliation) observePrune(ctx context.Context, state *plan.State) error {
	m := r.memory
	state.Stale = state.Subject.Prune && m.attempt.Planned != nil && len(inventory.Difference(subject.InventoryOf(r.subject), m.attempt.Planned)) > 0
	if !state.Stale {
		return nil
	}
	m.gate = subject.SourceKey(r.render.Source)
	r.Gates.Wait(m.gate, r.key)
	siblings, err := peers.Siblings(ctx, r.Client, r.key, m.gate)
	if err != nil {
		return err
	}
	state.Lagging = plan.Lagging(siblings, state.Attempt.Goal.Revision)
	return nil
}
