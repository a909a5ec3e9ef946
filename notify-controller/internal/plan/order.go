package plan

import "time"

// Effect is what a notification does to the state that its target keeps about an object, such as an incident.
type Effect string

// Effects. The empty effect leaves the target's state alone.
const (
	// Opens an incident.
	Opens Effect = "opens"
	// Closes one, if there is one; the target ignores it otherwise.
	Closes Effect = "closes"
	// ClosesOpened is like Closes, for notifications too frequent to send when nothing is known to be open.
	ClosesOpened Effect = "closes-opened"
)

// Incident is what is known of a target's state about one object.
type Incident struct {
	// At is when the newest notification that changed it was stored; zero when there was none.
	At time.Time `json:"at"`
	// Open says what that one did.
	Open bool `json:"open"`
}

// Arrange decides whether a notification stored at the given time may still be sent, and what is known of the incident
// if it is. A retried notification must not overtake a newer one to the opposite effect: an old failure would open an
// incident that nothing resolves, and an old recovery would hide a new failure.
func Arrange(known Incident, effect Effect, at time.Time) (Incident, Action) {
	opens := effect == Opens
	switch {
	case effect == "":
		return known, Action{Kind: Send, Rule: RuleNoEffect}
	case at.Before(known.At) && opens != known.Open:
		return known, Action{Kind: Finish, Rule: RuleSuperseded, Why: "superseded by a newer notification about the same object"}
	case effect == ClosesOpened && !known.Open && !at.Equal(known.At): // else it is this one's next attempt
		return known, Action{Kind: Finish, Rule: RuleNothingOpen, Why: "no incident is open"}
	case at.Before(known.At):
		return known, Action{Kind: Send, Rule: RuleSameAsNewer}
	}
	return Incident{At: at, Open: opens}, Action{Kind: Send, Rule: RuleStateChanges}
}
