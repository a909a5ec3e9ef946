package plan

import "time"

// GoalOf is what the Render asks for; the Render must be ready and match the subject.
func GoalOf(s State) Goal {
	return Goal{
		UID:            s.Subject.UID,
		Generation:     s.Subject.Generation,
		Token:          s.Subject.Token,
		Revision:       s.Render.Source.Revision,
		OriginRevision: s.Render.Source.OriginRevision,
		Version:        s.Render.Rendering.Version,
		Tag:            s.Render.Rendering.Tag,
	}
}

// begin starts an attempt when there is a new goal, or when the time for another one has come.
func begin(s State) (Action, bool) {
	goal := GoalOf(s)
	if goal != s.Attempt.Goal || s.Attempt.Stage == None {
		return Action{Step: Begin, Rule: RuleGoalMoved, Cause: causeOf(s.Attempt, goal, s.Status)}, true
	}
	if s.Attempt.Stage != Ended {
		return Action{}, false
	}
	return again(s)
}

// attempts says whether an attempt is under way, or is started now.
func attempts(s State) bool {
	if !Matches(s.Render, s.Subject) {
		return false
	}
	if _, failed := renderFailed(s); failed {
		return false
	}
	_, begins := begin(s)
	return begins || s.Attempt.Stage != Ended
}

// causeOf says how thorough the attempt for a new goal has to be, given the one before.
func causeOf(before Attempt, goal Goal, status Status) Cause {
	switch {
	case goal.Token != "" && goal.Token != status.Token:
		return Requested
	case before.Goal.UID != goal.UID || before.Goal.Tag != goal.Tag || before.Goal.Generation != goal.Generation:
		return Changed
	case !unharmed(before):
		return Changed
	case !before.Verified:
		return Verify
	}
	return Moved
}

// unharmed says that the attempt left nothing undone.
func unharmed(a Attempt) bool {
	return a.Succeeded() || (a.Stage == Started && a.Cause == Moved)
}

// again starts an attempt at the same goal where one is due.
func again(s State) (Action, bool) {
	a := s.Attempt
	switch {
	case a.Outcome == ReasonDependency && len(Blocked(s.Dependencies)) == 0:
		return Action{Step: Begin, Rule: RuleDependenciesReady, Cause: Changed}, true
	case !a.Succeeded() && !a.Stalled && a.SinceEnded >= RetryAfter(s):
		return Action{Step: Begin, Rule: RuleRetryDue, Cause: Changed}, true
	case a.Succeeded() && !a.Verified && s.Subject.Corrects:
		return Action{Step: Begin, Rule: RuleUnverified, Cause: Verify}, true
	case a.Succeeded() && a.SinceEnded >= s.Subject.Interval:
		return Action{Step: Begin, Rule: RuleIntervalPassed, Cause: Verify}, true
	}
	return Action{}, false
}

// ended rests until it is due again; it looks at health when that moved, and reports again what something else overwrote.
func ended(s State) (Action, bool) {
	a := s.Attempt
	if a.Stage != Ended {
		return Action{}, false
	}
	rest := s.Subject.Interval - a.SinceEnded
	switch {
	case a.Stalled:
		rest = 0
	case !a.Succeeded():
		rest = RetryAfter(s) - a.SinceEnded
	}
	switch {
	case s.HealthMoved && s.Subject.Checks && s.Health == nil && (a.Succeeded() || a.Outcome == ReasonHealthCheckFailed):
		return Action{Step: CheckHealth, Rule: RuleHealthMoved}, true
	case a.Outcome == ReasonHealthCheckFailed && recovered(s.Health):
		return Action{Step: Succeed, Rule: RuleHealthRecovered}, true
	case reported(s):
		return Action{Step: Idle, Rule: RuleReported, After: rest}, true
	case a.Succeeded():
		return Action{Step: Succeed, Rule: RuleOutcomeUnreported, After: rest}, true
	}
	return Action{
		Step: Fail, Rule: RuleOutcomeUnreported, Reason: a.Outcome, Message: a.Message, Stalled: a.Stalled,
		BlockedBy: Names(Blocked(s.Dependencies)), After: rest,
	}, true
}

// reported says that the status tells the attempt's outcome.
func reported(s State) bool {
	a, st := s.Attempt, s.Status
	if s.Reported {
		return true
	}
	if unanswered(s) || st.ReadyGeneration != s.Subject.Generation {
		return false
	}
	if a.Succeeded() {
		return st.Ready == "True" && st.Revision == a.Goal.StatusRevision()
	}
	return st.Ready == "False" && st.Reason == a.Reported
}

// unanswered says that somebody asks for a reconciliation and was not answered. Taking the question back is none.
func unanswered(s State) bool {
	return s.Subject.Token != "" && s.Subject.Token != s.Status.Token
}

// RetryAfter is how long a failed attempt rests. What could not be read is asked for again sooner: its server is inside
// the cluster. So are dependencies, in case a watch was deaf, and kinds that are missing, less and less often.
func RetryAfter(s State) time.Duration {
	switch {
	case s.Attempt.Outcome == ReasonKindMissing:
		return min(KindRetry<<min(max(0, s.Attempt.Failures-1), 10), s.Subject.RetryInterval)
	case s.Attempt.Outcome == ReasonArtifactFailed || s.Attempt.Outcome == ReasonStateError:
		return min(FetchRetry, s.Subject.RetryInterval)
	case s.Attempt.Outcome == ReasonDependency && s.DependencyPoll > 0:
		return min(s.DependencyPoll, s.Subject.RetryInterval)
	}
	return s.Subject.RetryInterval
}
