// Package plan holds every decision about a delivery: whether to send, what a failure means, how long to wait, when to
// give up, and which of two notifications about one object counts. It reads no clock and calls nothing.
package plan

import "time"

// Limits of a delivery's life.
const (
	// MaxAge after which a delivery that no target took becomes a dead letter.
	MaxAge = 24 * time.Hour
	// MinBackoff and MaxBackoff bound the wait after a failure that asked for no particular one.
	MinBackoff = time.Second
	MaxBackoff = 10 * time.Minute
	// MaxRetryAfter bounds the wait a target may ask for.
	MaxRetryAfter = time.Hour
	// SuspendedWait is how soon a delivery of a suspended Provider is looked at again.
	SuspendedWait = time.Minute
)

// Stage is how far a delivery has come, as the ledger remembers it.
type Stage string

// Stages of a delivery. The empty stage has never been tried.
const (
	// Claimed: a send was begun; whether it reached the target is unknown until the claim's lease is over.
	Claimed Stage = "claimed"
	// Failed: the last send failed and will be repeated.
	Failed Stage = "failed"
	// Delivered: the target took it.
	Delivered Stage = "delivered"
	// Dead: given up, and kept as a dead letter.
	Dead Stage = "dead"
)

// State is everything that was observed about a delivery before it is tried.
type State struct {
	// Stage and Leased come from the ledger; Leased is how much of a claim's lease is left.
	Stage  Stage
	Leased time.Duration
	// Age since the delivery was stored.
	Age time.Duration
	// LastFailure is why the last attempt failed, if it is known.
	LastFailure string
	// Paused is how long the target asked everybody to wait, counted from now.
	Paused time.Duration
	// Suspended says the Provider is suspended; Problem, why it cannot be used at all.
	Suspended bool
	Problem   string
}

// Kind of an action.
type Kind string

// What is done with a delivery.
const (
	// Send it now.
	Send Kind = "Send"
	// Finish: nothing is left to do.
	Finish Kind = "Finish"
	// Wait, and look again after Action.After.
	Wait Kind = "Wait"
	// GiveUp: keep it as a dead letter, for the reason in Action.Why.
	GiveUp Kind = "GiveUp"
)

// Rule is why an action is taken, in one word.
type Rule string

// The rules of a delivery that has come up.
const (
	RuleSettled           Rule = "Settled"
	RuleClaimed           Rule = "Claimed"
	RuleProviderUnusable  Rule = "ProviderUnusable"
	RuleExpired           Rule = "Expired"
	RuleProviderSuspended Rule = "ProviderSuspended"
	RuleTargetBusy        Rule = "TargetBusy"
	RuleReady             Rule = "Ready"
)

// The rules of an attempt that has ended.
const (
	RuleTaken   Rule = "Taken"
	RuleRefused Rule = "Refused"
	RuleFailed  Rule = "Failed"
)

// The rules of a notification that changes the state of its target, and of one that would.
const (
	RuleNoEffect     Rule = "NoEffect"
	RuleSuperseded   Rule = "Superseded"
	RuleNothingOpen  Rule = "NothingOpen"
	RuleSameAsNewer  Rule = "SameAsNewer"
	RuleStateChanges Rule = "StateChanges"
)

// Action is a decision, with its rule, and its reason in words.
type Action struct {
	Kind  Kind
	Rule  Rule
	After time.Duration
	Why   string
}

// Begin decides what happens to a delivery that has come up.
func Begin(s State) Action {
	switch {
	case s.Stage == Delivered || s.Stage == Dead:
		return Action{Kind: Finish, Rule: RuleSettled, Why: "already " + string(s.Stage)}
	case s.Stage == Claimed && s.Leased > 0:
		return Action{Kind: Wait, Rule: RuleClaimed, After: s.Leased, Why: "another attempt is under way"}
	case s.Problem != "":
		return Action{Kind: GiveUp, Rule: RuleProviderUnusable, Why: s.Problem}
	case s.Age >= MaxAge:
		return Action{Kind: GiveUp, Rule: RuleExpired, Why: expired(s)}
	case s.Suspended:
		return Action{Kind: Wait, Rule: RuleProviderSuspended, After: SuspendedWait, Why: "the Provider is suspended"}
	case s.Paused > 0:
		return Action{Kind: Wait, Rule: RuleTargetBusy, After: s.Paused, Why: "the target asked to wait"}
	}
	return Action{Kind: Send, Rule: RuleReady}
}

func expired(s State) string {
	why := "not delivered within " + MaxAge.String()
	if s.LastFailure != "" {
		why += "; the last attempt failed: " + s.LastFailure
	}
	return why
}

// Outcome is how a send ended.
type Outcome struct {
	// OK says the target took it; the other fields are for a failure.
	OK bool
	// Permanent says that repeating it cannot help.
	Permanent bool
	// Reason of the failure, free of secrets.
	Reason string
	// RetryAfter is what the target asked for; 0 for nothing.
	RetryAfter time.Duration
	// Tries made, this one included.
	Tries int
	// Jitter is a random number in [0, 1).
	Jitter float64
}

// End decides what happens after a send.
func End(o Outcome) Action {
	switch {
	case o.OK:
		return Action{Kind: Finish, Rule: RuleTaken, Why: "delivered"}
	case o.Permanent:
		return Action{Kind: GiveUp, Rule: RuleRefused, Why: o.Reason}
	case o.RetryAfter > 0:
		wait := min(o.RetryAfter, MaxRetryAfter)
		return Action{Kind: Wait, Rule: RuleTargetBusy, After: wait + time.Duration(o.Jitter*float64(time.Second)), Why: o.Reason}
	}
	return Action{Kind: Wait, Rule: RuleFailed, After: Backoff(o.Tries, o.Jitter), Why: o.Reason}
}

// Backoff is the wait after the given number of tries: doubling from [MinBackoff] to [MaxBackoff], spread by a fifth to
// either side. Jitter is a random number in [0, 1).
func Backoff(tries int, jitter float64) time.Duration {
	wait := MaxBackoff
	if doublings := max(tries-1, 0); doublings < 10 {
		wait = min(MinBackoff<<doublings, MaxBackoff)
	}
	spread := time.Duration(float64(wait) * (0.8 + 0.4*jitter))
	return min(max(spread, MinBackoff), MaxBackoff)
}
