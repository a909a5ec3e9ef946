package plan

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// Times that no field of a spec sets.
const (
	// ShortestInterval is how soon a subject is worked on again at the earliest, whatever its spec says: the API server takes
	// an interval of 0.
	ShortestInterval = time.Second
	// Patience is how long an attempt lasts before its progress is worth a status write.
	Patience = 2 * time.Second
	// PruneGate is how long a prune waits for the other subjects of the same source at most.
	PruneGate = 30 * time.Second
	// HealthPoll is how often health is looked at when no watch reports anything.
	HealthPoll = 5 * time.Second
	// FetchRetry is how soon a content that could not be fetched is asked for again.
	FetchRetry = 10 * time.Second
	// KindRetry is how soon kinds that are not installed are looked for again at first; each time it takes twice as long.
	KindRetry = 5 * time.Second
	// SyncPatience is how long a comparison waits for watches to have listed what there is.
	SyncPatience = 15 * time.Second
	// SyncPoll is how often it looks whether they have.
	SyncPoll = 100 * time.Millisecond
	// TerminationPoll is how often a finalizer looks whether everything is gone.
	TerminationPoll = 2 * time.Second
)

// rule decides if it applies.
type rule func(State) (Action, bool)

// Decide says what to do next. The first rule that applies wins.
func Decide(s State) Action {
	for _, r := range []rule{
		deleting,
		finalizer,
		suspended,
		invalid,
		fluxRunning,
		heal,
		missed,
		handshake,
		renderFailed,
		begin,
		ended,
		dependencies,
		moved,
		settle,
		release,
		apply,
		prune,
		health,
	} {
		if a, applies := r(s); applies {
			return a
		}
	}
	return Action{Step: Succeed, Rule: RuleDone}
}

func finalizer(s State) (Action, bool) {
	return Action{Step: AddFinalizer, Rule: RuleFinalizerMissing}, !s.Subject.Finalizer
}

// suspended: nothing is applied, healed or pruned; only a token is answered, as Flux does.
func suspended(s State) (Action, bool) {
	if !s.Subject.Suspended {
		return Action{}, false
	}
	if unanswered(s) {
		return Action{Step: Answer, Rule: RuleAskedSuspended}, true
	}
	return Action{Step: Idle, Rule: RuleSuspended}, true
}

func invalid(s State) (Action, bool) {
	if fields := s.Subject.Unsupported; len(fields) > 0 {
		return Action{
			Step: Fail, Rule: RuleFieldNotServed, Outside: true, Stalled: true, Reason: ReasonInvalidSpec,
			Message: fmt.Sprintf("not supported yet: %s; change or remove it", strings.Join(fields, ", ")),
		}, true
	}
	if s.Subject.Invalid != "" {
		return Action{
			Step: Fail, Rule: RuleInvalidExpression, Outside: true, Stalled: true, Reason: ReasonInvalidExpression, Message: s.Subject.Invalid,
		}, true
	}
	return Action{}, false
}

func fluxRunning(s State) (Action, bool) {
	if len(s.FluxRunning) == 0 {
		return Action{}, false
	}
	return Action{
		Step: Fail, Rule: RuleFluxRunning, Outside: true, Stalled: true, Reason: ReasonFluxRunning, After: time.Minute,
		Message: fmt.Sprintf("stopped: %s would be managed by two controllers at once; scale Flux's own down and take "+
			"them out of the repository, or start sync-controller with --allow-flux", strings.Join(s.FluxRunning, ", ")),
	}, true
}

// heal comes before everything that waits: the last applied content heals the cluster whatever happens upstream.
func heal(s State) (Action, bool) {
	return Action{Step: Heal, Rule: RuleDrifted}, s.Drifted && s.HasLastApplied && s.Subject.Corrects
}

// missed finds what changed while no watch looked, where no attempt is going to: nothing newer than the last applied content can be
// had, or what can be had was refused.
func missed(s State) (Action, bool) {
	switch {
	case !s.Missed || !s.HasLastApplied || !s.Subject.Corrects || attempts(s):
		return Action{}, false
	case s.Unsynced && s.MissedFor < SyncPatience:
		return Action{Step: Wait, Rule: RuleWatchesNotListed, After: SyncPoll}, true
	}
	return Action{Step: CatchUp, Rule: RuleChangedUnwatched}, true
}

// handshake waits until render-controller has seen the very subject that was read here.
func handshake(s State) (Action, bool) {
	if Matches(s.Render, s.Subject) {
		return Action{}, false
	}
	return wait(RuleNotRendered, s.Waiting, fmt.Sprintf("waiting for render-controller to render generation %d", s.Subject.Generation)), true
}

// Matches says whether a record speaks about the subject exactly as it was read, and says something. A nil record does
// not.
func Matches(r *v1alpha1.Render, s Subject) bool {
	if r == nil || meta.FindStatusCondition(r.Status.Conditions, fluxmeta.ReadyCondition) == nil {
		return false
	}
	seen := r.Subject
	return seen.UID == s.UID && seen.Generation == s.Generation && seen.RequestedAt == s.Token
}

// renderFailed mirrors the reason; what was applied before stays, and is healed.
func renderFailed(s State) (Action, bool) {
	ready := meta.FindStatusCondition(s.Render.Status.Conditions, fluxmeta.ReadyCondition)
	if ready.Status == "True" && s.Render.Rendering != nil {
		return Action{}, false
	}
	reason, message := ready.Reason, ready.Message
	if ready.Status == "True" {
		reason, message = ReasonArtifactFailed, "the Render record is Ready and names no rendering"
	}
	a := Action{
		Step: Fail, Rule: RuleRenderFailed, Outside: true, Reason: reason, Message: message,
		Stalled: reason == ReasonAccessDenied,
	}
	if ready.Status == "Unknown" {
		a.Rule, a.Waiting = RuleRenderUnfinished, true
	}
	return a, true
}

// dependencies hold an attempt back before it touches anything.
func dependencies(s State) (Action, bool) {
	blocked := Blocked(s.Dependencies)
	if s.Attempt.Stage != Started || len(blocked) == 0 || s.Attempt.Cause == Verify {
		return Action{}, false
	}
	a := Action{Step: Fail, Rule: RuleDependenciesUnready, Reason: ReasonDependency, Message: blocked[0].Why, BlockedBy: Names(blocked)}
	switch {
	case s.Attempt.Age < Patience:
		a.Step, a.Rule, a.After = Wait, RuleDependenciesAwaited, Patience-s.Attempt.Age
	case len(s.Cycle) > 0:
		a.Rule, a.Message = RuleDependencyCycle, circular(s.Cycle)
	}
	return a, true
}

// moved needs nothing but a new revision in the status; nor does an attempt over objects that are not corrected. What Helm's
// storage holds is compared at each interval all the same.
func moved(s State) (Action, bool) {
	cause := s.Attempt.Cause
	nothing := cause == Moved || (cause == Verify && !s.Subject.Corrects && !s.Subject.Releases)
	return Action{Step: Succeed, Rule: RuleOnlyMoved}, s.Attempt.Stage == Started && nothing
}

// settle lets watches list what there is after a restart, so that nothing has to be asked for one by one.
func settle(s State) (Action, bool) {
	verifies := s.Attempt.Stage == Started && s.Attempt.Cause == Verify && s.Subject.Corrects
	waits := verifies && s.Unsynced && s.Attempt.Age < SyncPatience
	return Action{Step: Wait, Rule: RuleWatchesNotListed, After: SyncPoll}, waits
}

// release puts Helm's storage before the objects: what was left undone is put in order, and templates see the revision
// number that the release is going to have.
func release(s State) (Action, bool) {
	r := s.Release
	switch {
	case s.Attempt.Stage != Started || !s.Subject.Releases:
		return Action{}, false
	case !r.Known:
		return Action{Step: Compare, Rule: RuleStorageUnknown}, true
	case r.Blocked != "":
		return Action{Step: Fail, Rule: RuleReleaseBlocked, Reason: ReasonRetriesExceeded, Message: r.Blocked, Stalled: true}, true
	case r.Repair != "":
		return Action{Step: Repair, Rule: RuleStorageBroken, Message: r.Repair}, true
	case r.InSync && !s.Subject.Corrects:
		return Action{Step: Succeed, Rule: RuleReleaseInSync}, true
	case !r.Due || (s.Render.Release != nil && *s.Render.Release == r.Next):
		return Action{}, false
	}
	a := wait(RuleReleaseNotRendered, s.Attempt.Age, fmt.Sprintf("waiting for render-controller to render release %d", r.Next.Revision))
	a.Step = AskRelease
	return a, true
}

func apply(s State) (Action, bool) {
	return Action{Step: Apply, Rule: RuleNotApplied, Deep: s.Attempt.Cause == Requested}, s.Attempt.Stage == Started
}

// prune comes after a successful apply only, and lets the other subjects of the source say first what they take over.
func prune(s State) (Action, bool) {
	switch {
	case s.Attempt.Stage != Applied:
		return Action{}, false
	case !s.Stale:
		return Action{Step: SkipPrune, Rule: RuleNothingStale}, true
	case len(s.Lagging) == 0 || s.Attempt.SinceApplied >= PruneGate:
		return Action{Step: Prune, Rule: RuleStale}, true
	}
	a := wait(RuleSiblingsLag, s.Attempt.Age, "waiting before pruning for the renderings of "+strings.Join(s.Lagging, ", "))
	a.BlockedBy = s.Lagging
	a.After = sooner(a.After, PruneGate-s.Attempt.SinceApplied)
	return a, true
}

// health lets checked objects decide, without ever keeping a worker waiting.
func health(s State) (Action, bool) {
	if s.Attempt.Stage != Pruned || !s.Subject.Checks {
		return Action{}, false
	}
	if s.Health == nil {
		return Action{Step: CheckHealth, Rule: RuleHealthUnknown}, true
	}
	left := s.Subject.Timeout - s.Attempt.SinceApplied
	switch {
	case recovered(s.Health):
		return Action{}, false
	case s.Health.State == v1alpha1.HealthFailed:
		return Action{Step: Fail, Rule: RuleHealthFailed, Reason: ReasonHealthCheckFailed, Message: "health check failed: " + s.Health.Message}, true
	case left <= 0:
		return Action{
			Step: Fail, Rule: RuleHealthTimeout, Reason: ReasonHealthCheckFailed,
			Message: fmt.Sprintf("health check failed: timeout after %s waiting for: %s", s.Subject.Timeout, s.Health.Message),
		}, true
	}
	a := wait(RuleHealthAwaited, s.Attempt.Age, fmt.Sprintf("Running health checks for revision %s with a timeout of %s", s.Attempt.Goal.Revision, s.Subject.Timeout))
	a.After = sooner(a.After, sooner(left, HealthPoll))
	return a, true
}

// recovered says that nothing that is checked is unhealthy.
func recovered(h *Health) bool {
	return h != nil && (h.State == v1alpha1.HealthHealthy || h.State == v1alpha1.HealthUnknown)
}

// wait ends a reconciliation; what lasts longer than [Patience] is worth a status write.
func wait(rule Rule, age time.Duration, message string) Action {
	a := Action{Step: Wait, Rule: rule, Reason: ReasonProgressing, Message: message, Progress: age >= Patience}
	if !a.Progress {
		a.After = Patience - age
	}
	return a
}

// sooner is the shorter of two durations, of which 0 means never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}
