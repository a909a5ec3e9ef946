package apply

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/ssa/utils"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// The stages, as errors name them.
const (
	stagePreparation = "preparation"
	stageDefinitions = "definitions"
	stageClasses     = "classes"
	stageResources   = "resources"
)

// stage is objects that are tried together before any of them is written.
type stage struct {
	name  string
	items []item
}

// stages splits the set: what defines kinds, namespaces and permissions; classes; everything else.
func (s Set) stages() []stage {
	stages := []stage{{name: stageDefinitions}, {name: stageClasses}, {name: stageResources}}
	for _, it := range s.items {
		i := 2
		switch {
		case utils.IsClusterDefinition(it.desired):
			i = 0
		case utils.IsClassDefinition(it.desired):
			i = 1
		}
		stages[i].items = append(stages[i].items, it)
	}
	return stages
}

// Apply applies the set. With an error, the change set holds what was done until then. The error is an [*Error] when
// objects were refused, or tells what ended the context.
//
// Nothing of a stage is written unless all its objects pass their dry-run. Stages before it remain applied: a custom
// resource cannot be tried before its kind exists.
func (a *Applier) Apply(ctx context.Context, set Set, o Options) (ChangeSet, error) {
	run := run{Applier: a, options: o, kinds: newKinds(a.Client.RESTMapper()), rules: rules{group: a.Owner.Group}}
	var changes ChangeSet
	for _, st := range set.stages() {
		done, err := run.stage(ctx, st)
		changes = append(changes, done...)
		if err != nil {
			return changes, err
		}
	}
	return changes, nil
}

// run is one apply.
type run struct {
	*Applier
	options Options
	kinds   *kinds
	rules   rules
}

// stage tries all objects, and then writes those that need it.
func (r *run) stage(ctx context.Context, st stage) (ChangeSet, error) {
	steps := make([]step, len(st.items))
	err := r.each(ctx, len(steps), func(ctx context.Context, i int) {
		steps[i] = r.check(ctx, st.items[i])
	})
	if err == nil {
		err = failures(st.name, false, steps)
	}
	if err != nil {
		return nil, err
	}
	written, err := r.write(ctx, st.name, steps)
	changes := make(ChangeSet, 0, len(steps))
	for i, s := range steps {
		if written[i] || s.plan == planNothing {
			changes = append(changes, s.change)
		}
	}
	if err == nil && st.name != stageResources {
		err = r.settle(ctx, st.name, steps)
	}
	return changes, err
}

// write carries out the steps, those of the same rank concurrently, and stops after a rank in which one failed. It says
// which steps were written.
func (r *run) write(ctx context.Context, name string, steps []step) ([]bool, error) {
	written := make([]bool, len(steps))
	order := inventory.NewOrder()
	for start := 0; start < len(steps); {
		rank, end := order.Rank(steps[start].kind()), start+1
		for end < len(steps) && order.Rank(steps[end].kind()) == rank {
			end++
		}
		err := r.each(ctx, end-start, func(ctx context.Context, i int) {
			s := &steps[start+i]
			if s.plan == planNothing {
				return
			}
			s.failure = r.carryOut(ctx, s)
			written[start+i] = s.failure == nil
			s.live = nil
			if name == stageResources {
				s.applied = nil // nothing waits for it
			}
		})
		if err == nil {
			err = failures(name, true, steps)
		}
		if err != nil {
			return written, err
		}
		start = end
	}
	return written, nil
}

// each calls do for 0 to n-1, some of them at once, and returns why the context ended, if it did.
func (r *run) each(ctx context.Context, n int, do func(ctx context.Context, i int)) error {
	limit := r.Concurrency
	if limit <= 0 {
		limit = DefaultConcurrency
	}
	var group errgroup.Group
	group.SetLimit(limit)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			do(ctx, i)
			return nil
		})
	}
	_ = group.Wait()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	return nil
}

// failures joins the failures of the steps; nil without one.
func failures(name string, written bool, steps []step) error {
	var all []Failure
	for _, s := range steps {
		if s.failure != nil {
			all = append(all, *s.failure)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return &Error{Stage: name, Written: written, Failures: all}
}
