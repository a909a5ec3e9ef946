package plan

import "github.com/fluxcd/pkg/apis/meta"

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

// Observed is everything that decides about a source.
type Observed struct {
	// Suspended is spec.suspend.
	Suspended bool
	// Problem is why nothing can be fetched; nil if all is well.
	Problem *Problem
	// Artifact is the one that the status advertises; nil for none. Stored is set when it lies in the storage with its digest.
	Artifact *meta.Artifact
	Stored   bool
	// Upstream is the revision that upstream has to offer; set when Problem is nil.
	Upstream string
	// SameContent is set when the artifact was made with the rules that the spec has now for what goes in.
	SameContent bool
}

// Decide picks the step.
func Decide(o Observed) Decision {
	switch {
	case o.Suspended:
		return Decision{Rest, RuleSuspended}
	case o.Problem != nil:
		return Decision{Fail, RuleProblem}
	case !o.Stored, o.Artifact == nil:
		return Decision{Build, RuleNotStored}
	case o.Artifact.Revision != o.Upstream:
		return Decision{Build, RuleRevisionMoved}
	case !o.SameContent:
		return Decision{Build, RuleContentRulesChanged}
	}
	return Decision{Keep, RuleUpToDate}
}
