package attempt

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
)

// maxEntries bounds the objects that a change set names.
const maxEntries = 50

// AddChanges adds what was done to what is to be reported. It is saved with the attempt's progress, so that a restart
// before the outcome is known, or written, does not lose it.
func (a *Attempt) AddChanges(done apply.ChangeSet, now time.Time) {
	notable := done.Notable()
	if len(notable) == 0 {
		return
	}
	set := &v1alpha1.ChangeSet{}
	if a.Change != nil {
		set = a.Change.DeepCopy()
	}
	set.Revision, set.At = a.Goal.Revision, metav1.NewTime(now).Rfc3339Copy()
	set.Created += done.Count(apply.Created)
	set.Configured += done.Count(apply.Configured)
	set.Deleted += done.Count(apply.Deleted)
	set.Entries = append(set.Entries, notable.Lines(maxEntries)...)
	set.Entries = set.Entries[:min(len(set.Entries), maxEntries)]
	a.Change = set
}

// DropReported forgets changes that an earlier process has reported: reported is the last that was written. Their times are of
// whole seconds, in which two revisions may be applied: of those that are equal, what was changed decides.
func (a *Attempt) DropReported(reported *v1alpha1.ChangeSet) {
	if reported == nil || a.Change == nil || reported.At.Before(&a.Change.At) {
		return
	}
	if a.Change.At.Before(&reported.At) || sameChange(reported, a.Change) {
		a.Change = nil
	}
}

func sameChange(a, b *v1alpha1.ChangeSet) bool {
	return a.Revision == b.Revision && a.Created == b.Created && a.Configured == b.Configured && a.Deleted == b.Deleted && slices.Equal(a.Entries, b.Entries)
}

// TakeChange returns what is to be reported, and forgets it.
func (a *Attempt) TakeChange() *v1alpha1.ChangeSet {
	taken := a.Change
	a.Change = nil
	return taken
}
