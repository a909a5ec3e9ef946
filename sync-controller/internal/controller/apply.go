package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/prune"
)

// Applier brings objects into the cluster; *apply.Applier outside of tests.
type Applier interface {
	Prepare(objects []rendering.Object) (apply.Set, error)
	Apply(ctx context.Context, set apply.Set, o apply.Options) (apply.ChangeSet, error)
}

// Pruner deletes objects; *prune.Pruner outside of tests.
type Pruner interface {
	Prune(ctx context.Context, stale []inventory.Entry) (prune.Result, error)
	Terminating(ctx context.Context, deleted []inventory.Entry) ([]inventory.Entry, error)
}

// Hands work on the objects of one subject, all as the identity that it is applied with.
type Hands struct {
	Applier Applier
	Pruner  Pruner
	Client  client.Client
	// Secrets is for Helm's storage.
	Secrets corev1client.SecretsGetter
}

// HandsFor makes the hands for a subject: who owns the objects, which field manager applies them, and as which user
// (empty: as the controller).
type HandsFor func(owner inventory.Owner, manager, user string) (Hands, error)

// Watcher knows the metadata of managed objects; *drift.Watcher outside of tests.
type Watcher interface {
	SetKinds(kinds []drift.Kind)
	Synced(ownerGroup string, kind schema.GroupKind) bool
	Fingerprint(ownerGroup string, id inventory.ID) (fingerprint string, found bool)
}

func (p *pass) owner() inventory.Owner {
	return inventory.Owner{Group: p.Kind.group, Namespace: p.key.Namespace, Name: p.key.Name}
}

// hands are this subject's. A service account that cannot be impersonated is an error, never the controller's own rights.
func (p *pass) hands() (Hands, error) {
	user, _, err := p.Access.ServiceAccount(p.key.Namespace, p.subject.serviceAccount())
	if err != nil {
		return Hands{}, err
	}
	return p.Hands(p.owner(), p.Kind.manager, user)
}

// applyContent applies the attempt's content. It ends the pass when that fails.
func (p *pass) applyContent(ctx context.Context, state plan.State, deep bool) (done bool, err error) {
	content, next, err := p.goalContent(ctx, p.releasing())
	if err != nil {
		return false, p.fail(ctx, state, plan.Action{Step: plan.Fail, Reason: plan.ReasonArtifactFailed, Message: err.Error()})
	}
	if names := fluxIn(content); len(names) > 0 && !p.AllowFlux {
		p.mem.fluxTag, p.mem.fluxNames = next.Tag, names
		return false, nil
	}
	hands, err := p.hands()
	if err != nil {
		return false, p.applyFailed(ctx, state, err)
	}
	set, err := hands.Applier.Prepare(content.Objects)
	if err != nil {
		return false, p.applyFailed(ctx, state, err)
	}
	if err := p.announceInventory(ctx, set.Inventory()); err != nil {
		return true, err
	}
	switch err := p.beginRelease(ctx); {
	case lostRace(err):
		p.mem.release = releaseMemory{}
		return false, nil
	case err != nil:
		return false, p.applyFailed(ctx, state, err)
	}
	if err := p.findRefs(content); err != nil {
		return false, p.applyFailed(ctx, state, err)
	}
	macs, err := p.macs(set)
	if err != nil {
		return false, p.applyFailed(ctx, state, err)
	}
	drifted := p.mem.mailbox.clear()
	options := apply.Options{Force: p.subject.force(), Correcting: p.releasing() == 0}
	if !deep {
		options.Unchanged = p.unchanged(macs)
	}
	changes, err := p.timed(ctx, state, func(ctx context.Context) (apply.ChangeSet, error) {
		return hands.Applier.Apply(ctx, set, options)
	})
	if err != nil { // what was refused has corrected nothing
		p.mem.mailbox.putBack(drifted)
	}
	if err := p.remember(changes, macs, set, next, err); err != nil {
		return true, err
	}
	if err != nil {
		return false, p.applyFailed(ctx, state, err)
	}
	return false, p.applied(set.Inventory(), len(changes.Changed()) > 0)
}

// applied takes the attempt on after an apply that succeeded. One that changed nothing goes on waiting since the one before.
func (p *pass) applied(planned inventory.Inventory, wrote bool) error {
	p.mem.planned, p.mem.verified, p.mem.missed = planned, true, time.Time{}
	p.Shared.manage(p.key, p.Kind.group, planned.Entries())
	r := &p.mem.record
	if r.Change != nil {
		r.Change.Unchanged = max(0, int64(len(planned))-r.Change.Created-r.Change.Configured)
	}
	r.Stage, r.AppliedAt = plan.Applied, p.Now()
	if !p.mem.resumed.IsZero() && !wrote {
		r.AppliedAt = p.mem.resumed
	}
	if r.Cause == plan.Verify && !wrote {
		return nil
	}
	return p.save()
}

// asLeft says whether everything that this process has applied is, as far as watches tell, as it was right after: then the
// content need not even be opened.
func (p *pass) asLeft() bool {
	inv, r := p.statusInventory(), p.mem.record
	if !p.mem.verified || p.releasing() != 0 || r.Held.Tag != r.Goal.Tag || len(inv) != len(p.mem.prints) {
		return false
	}
	for id := range inv {
		have := p.mem.prints[id.String()].Live
		if live, found := p.Watcher.Fingerprint(p.Kind.group, id); !found || have == "" || live != have {
			return false
		}
	}
	return true
}

// applyFailed ends the attempt. Ids that were gained stay in the inventory: some of them may exist.
func (p *pass) applyFailed(ctx context.Context, state plan.State, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return p.fail(ctx, state, plan.Action{Step: plan.Fail, Reason: plan.ReasonApplyFailed, Message: err.Error()})
}

// announceInventory writes every id that may exist from now on, before anything is applied: a crash leaves no orphan.
func (p *pass) announceInventory(ctx context.Context, planned inventory.Inventory) error {
	old := p.statusInventory()
	if old.Contains(planned) {
		return nil
	}
	p.subject.setInventory(inventory.Union(old, planned).Refs())
	return p.patchStatus(ctx)
}

// timed runs an apply within the subject's timeout.
func (p *pass) timed(ctx context.Context, state plan.State, work func(context.Context) (apply.ChangeSet, error)) (apply.ChangeSet, error) {
	limited, cancel := context.WithTimeout(ctx, state.Subject.Timeout)
	defer cancel()
	stop := p.progressAfter(ctx, state)
	changes, err := work(limited)
	stop()
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("apply did not end within %s: %w", state.Subject.Timeout, err)
	}
	return changes, err
}

// progressAfter reports an apply that lasts, while it runs. The function it returns ends that; the pass must not be used
// before.
func (p *pass) progressAfter(ctx context.Context, state plan.State) (stop func()) {
	ended, over := make(chan struct{}), make(chan struct{})
	timer := time.NewTimer(max(0, plan.Patience-state.Attempt.Age))
	go func() {
		defer close(over)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
			message := "applying revision " + p.mem.record.Goal.Revision
			if err := p.progress(ctx, state, plan.Action{Reason: plan.ReasonProgressing, Message: message}); err != nil {
				ctrl.LoggerFrom(ctx).Error(err, "progress could not be reported")
			}
		}
	}()
	return func() {
		close(ended)
		<-over
	}
}

// macs say what is applied, and as whom: for another account everything is asked for again, since it may have other rights.
func (p *pass) macs(set apply.Set) (map[inventory.ID]string, error) {
	user, _, err := p.Access.ServiceAccount(p.key.Namespace, p.subject.serviceAccount())
	if err != nil {
		return nil, err
	}
	return set.ContentMACs(slices.Concat(p.PrintKey, []byte(user)))
}

// unchanged says for which objects no request is needed: the same content was applied, and what is known of the live
// object is what it was right after.
func (p *pass) unchanged(macs map[inventory.ID]string) func(inventory.ID) bool {
	return func(id inventory.ID) bool {
		have, known := p.mem.prints[id.String()]
		if !known || have.Live == "" || have.Content != macs[id] {
			return false
		}
		live, found := p.Watcher.Fingerprint(p.Kind.group, id)
		return found && live == have.Live
	}
}

// remember notes what an apply did: fingerprints, the change set, and which content the cluster holds from now on.
func (p *pass) remember(changes apply.ChangeSet, macs map[inventory.ID]string, set apply.Set, next held, failed error) error {
	touched := p.fingerprint(changes, macs)
	if failed == nil {
		touched = p.dropPrints(set.Inventory()) || touched
	}
	p.noteChanges(changes)
	if touched {
		if err := p.Store.SaveFingerprints(p.key, p.mem.prints); err != nil {
			return err
		}
	}
	wrote := len(changes.Changed()) > 0
	moved := (failed == nil || wrote) && p.mem.record.Held != next
	if moved {
		p.mem.record.Held = next
	}
	if moved || (failed != nil && wrote) {
		if err := p.save(); err != nil {
			return err
		}
	}
	if moved {
		return p.Store.Retain(p.key, next.Digest)
	}
	return nil
}

func (p *pass) fingerprint(changes apply.ChangeSet, macs map[inventory.ID]string) (touched bool) {
	for _, c := range changes {
		if c.Live == nil {
			continue
		}
		now := imprint{Content: macs[c.ID], Live: apply.Fingerprint(p.PrintKey, p.Kind.manager, c.Live)}
		if id := c.ID.String(); p.mem.prints[id] != now {
			p.mem.prints[id], touched = now, true
		}
	}
	return touched
}

// dropPrints forgets the fingerprints of objects that are no longer applied.
func (p *pass) dropPrints(planned inventory.Inventory) (touched bool) {
	if len(p.mem.prints) <= len(planned) {
		return false
	}
	current := make(map[string]bool, len(planned))
	for id := range planned {
		current[id.String()] = true
	}
	for id := range p.mem.prints {
		if !current[id] {
			delete(p.mem.prints, id)
			touched = true
		}
	}
	return touched
}
