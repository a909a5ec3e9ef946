package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// Apply applies the set. With an error, the change set holds what was done until then. There is an [*Error] in the error
// when objects were refused, and what ended the context when that was it.
//
// Nothing of a stage is written unless all its objects pass their dry-run (see [Options] for the exception). Stages before
// it remain applied: a custom resource cannot be tried before its kind exists.
func (a *Applier) Apply(ctx context.Context, set Set, o Options) (ChangeSet, error) {
	run := run{
		Applier: a, options: o, kinds: newLookups(a.Client.RESTMapper()),
		rules: rules{group: a.Owner.Group, correcting: o.Correcting},
	}
	var changes ChangeSet
	var refused []Failure
	for _, st := range set.stages() {
		done, err := run.stage(ctx, st)
		changes = append(changes, done...)
		var some *Error
		switch {
		case o.Separately && ctx.Err() == nil && errors.As(err, &some):
			refused = append(refused, some.Failures...)
		case err != nil:
			return changes, err
		}
	}
	if len(refused) > 0 {
		return changes, &Error{Stage: stageResources, Written: true, Failures: refused}
	}
	return changes, nil
}

// run is one apply.
type run struct {
	*Applier
	options Options
	kinds   *lookups
	rules   rules
	// stageEnds is until when the stage waits for definitions.
	stageEnds time.Time
}

// stage tries all objects, and then writes those that need it.
func (r *run) stage(ctx context.Context, st stage) (ChangeSet, error) {
	steps := make([]step, len(st.items))
	r.stageEnds = time.Now().Add(r.options.stageTimeout())
	r.options.Progress.begin(st.name+": %d of %d tried", len(steps))
	err := r.each(ctx, len(steps), func(ctx context.Context, i int) {
		steps[i] = r.check(ctx, st.items[i])
		r.options.Progress.step()
	})
	if err != nil || !r.options.Separately {
		if err = join(err, failures(st.name, false, steps)); err != nil {
			return nil, err
		}
	}
	err = r.write(ctx, st.name, steps)
	changes := make(ChangeSet, 0, len(steps))
	for _, s := range steps {
		if s.failure == nil && (s.written || s.plan == planNothing) {
			changes = append(changes, s.change)
		}
	}
	if st.name != stageResources && (err == nil || r.options.Separately) {
		err = r.settle(ctx, st.name, steps)
	}
	return changes, err
}

// write carries out the steps, those of the same rank concurrently. It stops after a rank in which one failed, unless each
// is on its own.
func (r *run) write(ctx context.Context, name string, steps []step) error {
	order := inventory.NewOrder()
	r.options.Progress.begin(name+": %d of %d written", len(steps))
	for start := 0; start < len(steps); {
		rank, end := order.Rank(steps[start].kind()), start+1
		for end < len(steps) && order.Rank(steps[end].kind()) == rank {
			end++
		}
		err := r.each(ctx, end-start, func(ctx context.Context, i int) {
			s := &steps[start+i]
			defer r.options.Progress.step()
			if s.plan == planNothing || s.failure != nil {
				return
			}
			s.failure = r.carryOut(ctx, s)
			s.written = s.failure == nil
			s.live = nil
			if name == stageResources {
				s.applied = nil // nothing waits for it
			}
		})
		if err != nil || !r.options.Separately {
			if err = join(err, failures(name, true, steps)); err != nil {
				return err
			}
		}
		start = end
	}
	return failures(name, true, steps)
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

// join is why the context ended, with the objects that were refused by then: one of them may be why it took so long.
func join(ended, refused error) error {
	switch {
	case refused == nil:
		return ended
	case ended == nil:
		return refused
	}
	return fmt.Errorf("%w: %w", ended, refused)
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
