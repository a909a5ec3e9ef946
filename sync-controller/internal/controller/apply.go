package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/content"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// apply applies the attempt's content. It ends the reconciliation when what must be written before, or after, cannot be.
func (r *reconciliation) apply(ctx context.Context, state plan.State, deep bool) (done bool, err error) {
	m := r.memory
	opened, next, err := r.goalContent(ctx, r.release.Version())
	if err != nil {
		return false, r.fail(ctx, state, plan.Action{Step: plan.Fail, Reason: plan.ReasonArtifactFailed, Message: err.Error()})
	}
	if !r.AllowFlux && m.flux.Look(next.Tag, opened) {
		return false, nil
	}
	t, err := r.target()
	if err != nil {
		return false, r.applyFailed(ctx, state, err)
	}
	set, err := t.Applier.Prepare(opened.Objects)
	if err != nil {
		return false, r.applyFailed(ctx, state, err)
	}
	if r.release.Version() != 0 && m.attempt.Release == 0 { // what only came too early leaves no record
		if err := t.Applier.Installed(ctx, set); err != nil {
			return false, r.orFail(ctx, state, plan.ReasonKindMissing, err)
		}
	}
	if err := r.extendInventory(ctx, set.Inventory()); err != nil {
		return true, err
	}
	switch err := r.beginRelease(ctx); {
	case release.LostRace(err):
		r.release.Restart()
		return false, nil
	case err != nil:
		return false, r.applyFailed(ctx, state, err)
	}
	if err := m.health.Track(r.subject.HealthChecks(), opened, r.Kind.ID(r.key)); err != nil {
		return false, r.applyFailed(ctx, state, err)
	}
	return r.applySet(ctx, state, t.Applier, set, next, deep)
}

// applier applies a set; *apply.Applier outside of tests.
type applier interface {
	Apply(ctx context.Context, set apply.Set, o apply.Options) (apply.ChangeSet, error)
}

// applySet applies what is prepared and remembers what that did.
func (r *reconciliation) applySet(ctx context.Context, state plan.State, by applier, set apply.Set, next content.Ref, deep bool) (done bool, err error) {
	m := r.memory
	key := r.fingerprintKey()
	contents, err := key.Contents(set)
	if err != nil {
		return false, r.applyFailed(ctx, state, err)
	}
	drifted := m.pending.Clear()
	options := apply.Options{Force: r.subject.Force(), Correcting: r.release.Version() == 0, Progress: &apply.Progress{}}
	if !deep {
		options.Unchanged = m.fingerprints.Unchanged(key, contents, r.live)
	}
	if !deep && r.release.Version() == 0 { // who asks, and a release, gets what is done once more
		options.Done = m.fingerprints.Done(contents, drift.Deleted(drifted))
	}
	changes, err := r.timed(ctx, state, options.Progress, func(ctx context.Context) (apply.ChangeSet, error) {
		return by.Apply(ctx, set, options)
	})
	if err != nil { // what was refused has corrected nothing
		m.pending.PutBack(drifted)
	}
	if err := r.remember(changes, contents, set, next, err); err != nil {
		return true, err
	}
	if err != nil {
		return false, r.applyFailed(ctx, state, err)
	}
	return false, r.applied(set.Inventory(), len(changes.Changed()) > 0)
}

// applied takes the attempt on after an apply that succeeded.
func (r *reconciliation) applied(planned inventory.Inventory, wrote bool) error {
	save := r.memory.attempt.SetApplied(planned, wrote, r.Now())
	r.memory.unwatchedSince = time.Time{}
	r.Managed.Set(r.owner(), planned)
	if !save {
		return nil
	}
	return r.save()
}

// asLeft says whether everything that this process has applied is, as far as watches tell, as it was right after: then the
// content need not even be opened.
func (r *reconciliation) asLeft() bool {
	a := &r.memory.attempt
	return a.Verified && r.release.Version() == 0 && a.LastApplied.Tag == a.Goal.Tag &&
		r.memory.fingerprints.AllAsLeft(r.fingerprintKey(), subject.InventoryOf(r.subject), r.live)
}

// applyFailed ends the attempt. Ids that were gained stay in the inventory: some of them may exist.
func (r *reconciliation) applyFailed(ctx context.Context, state plan.State, err error) error {
	return r.orFail(ctx, state, plan.ReasonApplyFailed, err)
}

// extendInventory writes every id that may exist from now on, before anything is applied: a crash leaves no orphan.
func (r *reconciliation) extendInventory(ctx context.Context, planned inventory.Inventory) error {
	old := subject.InventoryOf(r.subject)
	if old.Contains(planned) {
		return nil
	}
	r.subject.SetInventory(inventory.Union(old, planned).Refs())
	return r.patchStatus(ctx)
}

// beginRelease records the release before any of its objects is applied.
func (r *reconciliation) beginRelease(ctx context.Context) error {
	begun, err := r.release.Begin(ctx)
	if err != nil || !begun {
		return err
	}
	return r.save()
}

// timed runs an apply within the subject's timeout.
func (r *reconciliation) timed(ctx context.Context, state plan.State, progress *apply.Progress, work func(context.Context) (apply.ChangeSet, error)) (apply.ChangeSet, error) {
	limited, cancel := context.WithTimeout(ctx, state.Subject.Timeout)
	defer cancel()
	stop := r.progressAfter(ctx, state, progress)
	started := r.Now()
	changes, err := work(limited)
	r.Metrics.Applied(r.Kind.Name, r.Now().Sub(started), len(changes.Changed()) > 0, err)
	stop()
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("apply did not end within %s (%s): %w", state.Subject.Timeout, progress, err)
	}
	return changes, err
}

// progressEvery is how often an apply that lasts is reported, if it has come further.
const progressEvery = 5 * time.Second

// progressAfter reports an apply that lasts, while it runs, and what it waits for. The function it returns ends that; the
// reconciliation must not be used before.
func (r *reconciliation) progressAfter(ctx context.Context, state plan.State, progress *apply.Progress) (stop func()) {
	ended, over := make(chan struct{}), make(chan struct{})
	timer := time.NewTimer(max(0, plan.Patience-state.Attempt.Age))
	go func() {
		defer close(over)
		defer timer.Stop()
		for {
			select {
			case <-ended:
				return
			case <-timer.C:
			}
			message := strings.TrimSuffix("applying revision "+r.memory.attempt.Goal.Revision+": "+progress.String(), ": ")
			if err := r.progress(ctx, state, plan.Action{Reason: plan.ReasonProgressing, Message: message}); err != nil {
				ctrl.LoggerFrom(ctx).V(logkey.Debug).Info("progress is not reported", logkey.Problem, err.Error())
			}
			timer.Reset(progressEvery)
		}
	}()
	return func() {
		close(ended)
		<-over
	}
}

// remember notes what an apply did: fingerprints, the change set, and which content the cluster holds from now on.
func (r *reconciliation) remember(changes apply.ChangeSet, contents map[inventory.ID]string, set apply.Set, next content.Ref, failed error) error {
	m := r.memory
	touched := m.fingerprints.Update(r.fingerprintKey(), changes, contents, set.Traits())
	if failed == nil {
		touched = m.fingerprints.Retain(set.Inventory()) || touched
	}
	for _, c := range changes {
		if c.Live != nil { // it may be another one than before, or have been there before it was applied
			r.lookFor(c.ID)
		}
	}
	m.attempt.AddChanges(changes, r.Now())
	if touched {
		if err := r.saveFingerprints(); err != nil {
			return err
		}
	}
	wrote := len(changes.Changed()) > 0
	moved := (failed == nil || wrote) && m.attempt.LastApplied != next
	if moved {
		m.attempt.LastApplied = next
	}
	if moved || (failed != nil && wrote) {
		if err := r.save(); err != nil {
			return err
		}
	}
	if moved {
		return r.Store.Retain(r.key, next.Digest)
	}
	return nil
}

func (r *reconciliation) saveFingerprints() error {
	return r.Store.SaveFingerprints(r.key, r.memory.fingerprints)
}
