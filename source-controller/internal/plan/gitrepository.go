package plan

import (
	"slices"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// Step is what an attempt does.
type Step string

// The steps, of which an attempt takes exactly one.
const (
	// Rest: the object is suspended; its artifact stays as it is.
	Rest Step = "Rest"
	// Fail: report the problem; the last good artifact stays.
	Fail Step = "Fail"
	// Keep: what is stored is what is asked for.
	Keep Step = "Keep"
	// Build: make and store the artifact.
	Build Step = "Build"
)

// Rule is why a step is taken.
type Rule string

// The rules, of which exactly one decides.
const (
	// RuleSuspended: spec.suspend is set.
	RuleSuspended Rule = "Suspended"
	// RuleProblem: there is no use in going on.
	RuleProblem Rule = "Problem"
	// RuleNotStored: there is no artifact, or its file is lost or damaged.
	RuleNotStored Rule = "NotStored"
	// RuleRevisionMoved: what the artifact is made of has another revision now.
	RuleRevisionMoved Rule = "RevisionMoved"
	// RuleContentRulesChanged: the spec says otherwise what goes in.
	RuleContentRulesChanged Rule = "ContentRulesChanged"
	// RuleUpToDate: nothing is new.
	RuleUpToDate Rule = "UpToDate"
)

// Decision is a step, and the rule that it comes from.
type Decision struct {
	Step Step
	Rule Rule
}

// Observed is everything that decides about a GitRepository.
type Observed struct {
	// Suspended is spec.suspend.
	Suspended bool
	// Problem is why nothing can be fetched; nil if all is well.
	Problem *Problem
	// Target is what upstream has to offer; set when Problem is nil.
	Target Target
	// Stored is set when the artifact in the status lies in the storage with the digest that it advertises.
	Stored bool
	// Spec and Status are the object's.
	Spec   sourcev1.GitRepositorySpec
	Status sourcev1.GitRepositoryStatus
}

// Decide picks the step.
func Decide(o Observed) Decision {
	switch {
	case o.Suspended:
		return Decision{Rest, RuleSuspended}
	case o.Problem != nil:
		return Decision{Fail, RuleProblem}
	case !o.Stored, o.Status.Artifact == nil:
		return Decision{Build, RuleNotStored}
	case o.Status.Artifact.Revision != o.Target.Revision:
		return Decision{Build, RuleRevisionMoved}
	case !SameContent(o.Spec, o.Status):
		return Decision{Build, RuleContentRulesChanged}
	}
	return Decision{Keep, RuleUpToDate}
}

// SameContent reports whether the stored artifact was made with the rules that the object has now for what goes in. One
// that Flux made may hold more than is served here.
func SameContent(spec sourcev1.GitRepositorySpec, status sourcev1.GitRepositoryStatus) bool {
	return equal(spec.Ignore, status.ObservedIgnore) && slices.Equal(spec.SparseCheckout, status.ObservedSparseCheckout) &&
		!status.ObservedRecurseSubmodules && len(status.ObservedInclude) == 0
}

func equal(a, b *string) bool {
	return a == b || a != nil && b != nil && *a == *b
}
