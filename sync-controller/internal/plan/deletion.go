package plan

import (
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
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
