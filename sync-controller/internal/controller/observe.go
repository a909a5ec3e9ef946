package controller

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// observe gathers everything a decision may depend on. All of it comes from caches and memory.
func (p *pass) observe(ctx context.Context) (plan.State, error) {
	state := plan.State{Subject: p.view(), Status: p.subject.status(), Held: p.mem.record.Held.Digest != "", Health: p.health, Reported: p.reported, DependencyPoll: p.Dependency}
	if state.Subject.Deleting {
		state.Deleting = p.now.Sub(p.subject.object().GetDeletionTimestamp().Time)
		return state, nil
	}
	if err := p.observeRender(ctx, &state); err != nil {
		return state, err
	}
	var err error
	if state.Dependencies, err = p.dependencies(ctx); err != nil {
		return state, err
	}
	if state.FluxRunning, err = p.fluxRunning(ctx); err != nil {
		return state, err
	}
	p.observeMailbox(&state)
	state.Attempt = p.mem.attempt(p.now)
	if state.Cycle, err = p.cycle(ctx, &state); err != nil {
		return state, err
	}
	state.Unsynced = !p.Shared.synced(p.key)
	if state.Attempt.Stage == plan.Applied {
		if err := p.observePrune(ctx, &state); err != nil {
			return state, err
		}
	}
	p.observeRelease(&state)
	return state, nil
}

// view is the spec as decisions see it. Expressions are compiled once per generation.
func (p *pass) view() plan.Subject {
	v := p.subject.view()
	if p.mem.validated != v.Generation {
		p.mem.validated, p.mem.invalid = v.Generation, p.subject.invalid()
		p.mem.readiness, p.mem.exprs = nil, nil
	}
	v.Invalid = p.mem.invalid
	return v
}

// observeRender reads the subject's record, and notes since when none matches.
func (p *pass) observeRender(ctx context.Context, state *plan.State) error {
	found := &v1alpha1.Render{}
	key := client.ObjectKey{Namespace: p.key.Namespace, Name: v1alpha1.RecordName(p.key.Kind, p.key.Name)}
	switch err := p.Client.Get(ctx, key, found); {
	case err == nil:
		p.render = found
	case client.IgnoreNotFound(err) == nil:
		p.render = nil
	default:
		return err
	}
	state.Render = p.render
	switch {
	case plan.Matches(p.render, state.Subject):
		p.mem.waiting = time.Time{}
	case p.mem.waiting.IsZero():
		p.mem.waiting = p.now
	default:
		state.Waiting = p.now.Sub(p.mem.waiting)
	}
	return nil
}

// observeMailbox looks at what watches reported. Lost signals make every object worth a comparison.
func (p *pass) observeMailbox(state *plan.State) {
	state.Drifted, _ = p.mem.mailbox.due(p.now, p.mem.fights)
	if !state.Subject.Checks {
		p.mem.mailbox.takeHealth()
	}
	moved, lost := p.mem.mailbox.state()
	state.HealthMoved = moved
	if lost && p.mem.record.Stage == plan.Ended {
		p.mem.mailbox.found()
		p.mem.verified, p.mem.missed = false, p.now
	}
	if state.Missed = !p.mem.missed.IsZero(); state.Missed {
		state.MissedFor = p.now.Sub(p.mem.missed)
	}
}

// observePrune compares the inventory with what was applied, and asks how far the source's other subjects are.
func (p *pass) observePrune(ctx context.Context, state *plan.State) error {
	state.Stale = state.Subject.Prune && p.mem.planned != nil && len(inventory.Difference(p.statusInventory(), p.mem.planned)) > 0
	if !state.Stale {
		return nil
	}
	siblings, err := p.siblings(ctx)
	if err != nil {
		return err
	}
	state.Lagging = plan.Lagging(siblings, state.Attempt.Goal.Revision)
	return nil
}

// statusInventory is what the subject's status holds. An entry that cannot be read is passed over.
func (p *pass) statusInventory() inventory.Inventory {
	inv, _ := inventory.Parse(p.subject.inventory())
	return inv
}
