package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// ReasonDriftCorrected is the reason of the event that tells of a correction.
const ReasonDriftCorrected = "DriftCorrected"

// heal looks at the objects that watches reported as changed by somebody else, and corrects them from the held content.
// It never ends an attempt: what cannot be corrected is tried again, later each time, and at the next pass over everything.
func (p *pass) heal(ctx context.Context) error {
	signals := p.mem.mailbox.take(p.now, p.mem.fights)
	ours := p.statusInventory()
	maps.DeleteFunc(signals, func(id inventory.ID, _ drift.Signal) bool { return !ours.Has(id) })
	maps.DeleteFunc(p.mem.fights, func(_ inventory.ID, f *fight) bool { return f.over(p.now) })
	if len(signals) == 0 { // what was pruned, or only carries our label
		return nil
	}
	changes, err := p.correct(ctx, signals)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "drift could not be corrected", "objects", len(signals))
		p.putBack(refused(signals, err))
	}
	corrected := changes.Changed()
	if len(corrected) == 0 {
		return nil
	}
	culprits := make([]string, 0, len(corrected))
	for _, c := range corrected {
		fight := p.fought(c.ID)
		manager := signals[c.ID].Manager
		culprits = append(culprits, describeDrift(c, manager, fight.count))
		p.noteDrift(c, manager)
	}
	message := strings.Join(limit(culprits, maxEntries), "\n")
	p.tell(corev1.EventTypeNormal, ReasonDriftCorrected, message)
	return p.writeSync(ctx)
}

// catchUp reports what a watch would have, had there been one: objects that are not as they were left.
func (p *pass) catchUp() {
	p.mem.missed = time.Time{}
	for id, version := range p.statusInventory() {
		signal := drift.Signal{Owner: p.owner(), Object: inventory.Entry{ID: id, Version: version}, Type: drift.Changed}
		have, applied := p.mem.prints[id.String()]
		live, found := p.Watcher.Fingerprint(p.Kind.group, id)
		if !found {
			signal.Type = drift.Gone
		}
		if applied && (!found || live != have.Live) {
			p.mem.mailbox.put(signal)
		}
	}
}

// correct applies the part of the held content that the signals are about.
func (p *pass) correct(ctx context.Context, signals map[inventory.ID]drift.Signal) (apply.ChangeSet, error) {
	content, err := p.heldContent()
	if err != nil {
		return nil, err
	}
	hands, err := p.hands()
	if err != nil {
		return nil, err
	}
	set, err := hands.Applier.Prepare(content.Objects)
	if err != nil {
		return nil, err
	}
	part := set.Only(func(id inventory.ID) bool { _, signalled := signals[id]; return signalled })
	if part.Len() == 0 {
		return nil, nil
	}
	macs, err := p.macs(part)
	if err != nil {
		return nil, err
	}
	changes, err := hands.Applier.Apply(ctx, part, apply.Options{Force: p.subject.force(), Separately: true, Correcting: true})
	if p.fingerprint(changes, macs) {
		if saveErr := p.Store.SaveFingerprints(p.key, p.mem.prints); saveErr != nil && err == nil {
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

// putBack keeps signals for later, and makes later later.
func (p *pass) putBack(signals map[inventory.ID]drift.Signal) {
	for id, s := range signals {
		f := p.fought(id)
		f.count = max(f.count, fightFree+1)
		p.mem.mailbox.put(s)
	}
}

func (p *pass) fought(id inventory.ID) *fight {
	f := p.mem.fights[id]
	if f == nil {
		f = &fight{}
		p.mem.fights[id] = f
	}
	f.corrected(p.now)
	return f
}

// noteDrift notes a correction for the Sync record.
func (p *pass) noteDrift(c apply.Change, manager string) {
	record := p.syncInMemory()
	if record.Drift == nil {
		record.Drift = &v1alpha1.Drift{}
	}
	at := metav1.NewTime(p.now)
	record.Drift.Corrections++
	record.Drift.LastAt, record.Drift.Object, record.Drift.Manager = &at, inventory.Describe(c.ID), manager
}

func describeDrift(c apply.Change, manager string, count int) string {
	what := "changed"
	if c.Action == apply.Created {
		what = "deleted"
	}
	by := ""
	if manager != "" {
		by = " by " + manager
	}
	text := fmt.Sprintf("%s was %s%s and is corrected", inventory.Describe(c.ID), what, by)
	if count > fightFree {
		text += fmt.Sprintf("; this is the %d. time in a row, so corrections slow down: stop the other writer or take the field out of Git", count)
	}
	return text
}
