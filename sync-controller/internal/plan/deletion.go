package plan

import (
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/hindrance"
)

const (
	// DeletionGrace is how long what an account may not delete is tried all the same. Rights that are being rewritten
	// (a Role replaced, a binding made anew, a chart of roles upgraded) are back within seconds; who deletes a subject should
	// not wait longer than that for those that are gone for good.
	DeletionGrace = 30 * time.Second
	// SlowestDeletion is how often a deletion is tried at least that only somebody else can make possible.
	SlowestDeletion = time.Minute
)

// deleting honours the deletion policy. A suspended subject leaves everything where it is, as in Flux. No Render is ever
// waited for.
func deleting(s State) (Action, bool) {
	if !s.Subject.Deleting {
		return Action{}, false
	}
	if !s.Subject.Finalizer {
		return Action{Step: Idle, Rule: RuleLetGo}, true
	}
	a := Action{Step: Finalize, Rule: RuleDeletionPolicy, After: TerminationPoll}
	if s.Subject.Suspended {
		a.Rule = RuleDeletedSuspended
		return a, true
	}
	switch s.Subject.DeletionPolicy {
	case kustomizev1.DeletionPolicyOrphan:
	case kustomizev1.DeletionPolicyDelete:
		a.Delete = true
	case kustomizev1.DeletionPolicyWaitForTermination:
		a.Delete, a.Await = true, s.Deleting < s.Subject.Timeout
	default:
		a.Delete = s.Subject.Prune
	}
	return a, true
}

// Obstacle is why a part of a deletion is not done.
type Obstacle struct {
	Cause hindrance.Cause
	// Ending says that a namespace is going, the subject's or the object's: nothing in it will be mended any more.
	Ending bool
}

// Patience says how long an obstacle is tried against; for ever when it does not end. What goes by itself is waited for,
// and what admission denies is for whoever wrote the rule, as in Flux, as long as there is somebody to do it for.
func (o Obstacle) Patience() (patience time.Duration, ends bool) {
	switch o.Cause {
	case hindrance.Passing:
		return 0, false
	case hindrance.Denied:
		return DeletionGrace, o.Ending
	case hindrance.Forbidden, hindrance.Unserved, hindrance.Unreadable:
	}
	if o.Ending {
		return 0, true
	}
	return DeletionGrace, true
}

// Relent says what becomes of a deletion that has met obstacles for so long: whether it is given up, or otherwise in how
// long it will be (0: never) and when it is tried again.
func Relent(obstacles []Obstacle, lasted time.Duration) (over bool, left, again time.Duration) {
	var longest time.Duration
	ends := true
	for _, o := range obstacles {
		patience, bounded := o.Patience()
		ends = ends && bounded
		longest = max(longest, patience)
	}
	again = min(max(lasted, TerminationPoll), SlowestDeletion) // as long again as it has lasted: the time between tries doubles
	switch {
	case !ends:
		return false, 0, again
	case lasted >= longest:
		return true, 0, 0
	}
	left = longest - lasted
	return false, left, min(again, left)
}
