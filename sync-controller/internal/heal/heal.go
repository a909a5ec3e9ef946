// Package heal corrects the objects that somebody else changed or deleted, from the content that was applied last. It never
// ends an attempt: what cannot be corrected is tried again, later each time.
package heal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/fingerprint"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Applier brings objects into the cluster; *apply.Applier outside of tests.
type Applier interface {
	Prepare(objects []rendering.Object) (apply.Set, error)
	Apply(ctx context.Context, set apply.Set, o apply.Options) (apply.ChangeSet, error)
}

// Input is what a correction needs.
type Input struct {
	// Signals are about the objects to look at.
	Signals map[inventory.ID]drift.Signal
	// Content opens the content that was applied last, Applier reaches the cluster that it was applied to.
	Content func() (rendering.Content, error)
	Applier func() (Applier, error)
	// Reader reads the live objects, Ours says which objects are the subject's: of those that are gone some are done.
	Reader func() (client.Reader, error)
	Ours   func(inventory.ID) bool
	// Force recreates what cannot be changed.
	Force bool
	// Fingerprints, made with Key, are brought up to date, and saved with Save when they moved.
	Fingerprints fingerprint.Set
	Key          fingerprint.Key
	Save         func() error
	// Contentions count the corrections, at Now.
	Contentions drift.Contentions
	Now         time.Time
}

// Correction is an object that was put right.
type Correction struct {
	apply.Change
	// Manager is who probably changed it, empty when nobody knows; Count how often in a row.
	Manager string
	Count   int
}

// Output is what became of the signals.
type Output struct {
	Corrections []Correction
	// Refused are the signals to look at again later, Err says why; nil when there are none.
	Refused map[inventory.ID]drift.Signal
	Err     error
}

// Correct looks at the signalled objects and corrects those that are not as they were applied. The error is the context's.
//
// What is gone because it has come to its end is not made again, and no correction. What cannot be looked up is left for later,
// and keeps nothing else.
func Correct(ctx context.Context, in Input) (Output, error) {
	unread, err := in.leaveDone(ctx)
	if err != nil {
		return in.outcome(ctx, nil, err)
	}
	left := in.take(unread)
	var changes apply.ChangeSet
	if len(in.Signals) > 0 {
		changes, err = in.correct(ctx)
	}
	out, ended := in.outcome(ctx, changes, err)
	if ended == nil && len(left) > 0 {
		in.refuse(&out, left, unread.Err())
	}
	return out, ended
}

// outcome is what became of the signals, given what was changed, and what went wrong.
func (in Input) outcome(ctx context.Context, changes apply.ChangeSet, err error) (Output, error) {
	if ctx.Err() != nil {
		return Output{}, ctx.Err()
	}
	var out Output
	if err != nil {
		in.refuse(&out, refused(in.Signals, err), err)
	}
	for _, c := range changes.Changed() {
		out.Corrections = append(out.Corrections, Correction{
			Change: c, Manager: in.Signals[c.ID].Manager, Count: in.Contentions.Corrected(c.ID, in.Now),
		})
	}
	return out, nil
}

// refuse leaves signals for later, because of an error.
func (in Input) refuse(out *Output, signals map[inventory.ID]drift.Signal, err error) {
	out.Err = errors.Join(out.Err, err)
	if out.Refused == nil {
		out.Refused = make(map[inventory.ID]drift.Signal, len(signals))
	}
	for id, s := range signals {
		out.Refused[id] = s
		in.Contentions.Refused(id, in.Now)
	}
}

// correct applies the part of the content that the signals are about.
func (in Input) correct(ctx context.Context) (apply.ChangeSet, error) {
	content, err := in.Content()
	if err != nil {
		return nil, err
	}
	applier, err := in.Applier()
	if err != nil {
		return nil, err
	}
	set, err := applier.Prepare(content.Objects)
	if err != nil {
		return nil, err
	}
	part := set.Only(func(id inventory.ID) bool { _, signalled := in.Signals[id]; return signalled })
	if part.Len() == 0 {
		return nil, nil
	}
	contents, err := in.Key.Contents(part)
	if err != nil {
		return nil, err
	}
	changes, err := applier.Apply(ctx, part, apply.Options{
		Force: in.Force, Separately: true, Correcting: true, Done: in.done(contents),
	})
	if in.Fingerprints.Update(in.Key, changes, contents, part.Traits()) {
		if saveErr := in.Save(); saveErr != nil && err == nil {
			err = saveErr
		}
	}
	return changes, err
}

// refused are the signals of the objects that an error names; all of them when it names none.
func refused(signals map[inventory.ID]drift.Signal, err error) map[inventory.ID]drift.Signal {
	var named *apply.Error
	if !errors.As(err, &named) {
		return signals
	}
	some := make(map[inventory.ID]drift.Signal, len(named.Failures))
	for _, f := range named.Failures {
		if s, signalled := signals[f.ID]; signalled {
			some[f.ID] = s
		}
	}
	return some
}

// Recreated says that the object was gone.
func (c Correction) Recreated() bool { return c.Action == apply.Created }

// Found says what was found: which object somebody has changed or deleted, and who.
func (c Correction) Found() string {
	what := "changed"
	if c.Recreated() {
		what = "deleted"
	}
	by := ""
	if c.Manager != "" {
		by = " by " + c.Manager
	}
	return fmt.Sprintf("%s was %s%s", inventory.Describe(c.ID), what, by)
}

// String tells of a correction as an event does.
func (c Correction) String() string {
	text := c.Found() + " and is corrected"
	if c.Count > drift.FreeCorrections {
		text += fmt.Sprintf("; this is the %d. time in a row, so corrections slow down: stop the other writer or take the field out of Git", c.Count)
	}
	return text
}
