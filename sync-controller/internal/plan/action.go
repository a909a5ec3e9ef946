package plan

import "time"

// Step is what to do next.
type Step string

// The steps. Wait, Idle, Answer, Fail, Succeed and the end of Finalize end a reconciliation; after every other one the next
// decision follows at once.
const (
	// Idle: nothing until After, or until something happens.
	Idle Step = "Idle"
	// AddFinalizer puts our finalizer on the subject.
	AddFinalizer Step = "AddFinalizer"
	// Finalize deletes what was applied if Delete, waits for that to be gone if Await, and takes the finalizer off.
	Finalize Step = "Finalize"
	// Answer copies the token of a suspended subject to its status.
	Answer Step = "Answer"
	// Heal corrects the objects that drifted, from the last applied content.
	Heal Step = "Heal"
	// CatchUp finds the objects that changed while no watch looked; they are healed as those that watches report.
	CatchUp Step = "CatchUp"
	// Wait ends the reconciliation with the attempt unfinished; Progress says that it lasts long enough to be reported.
	Wait Step = "Wait"
	// Begin starts an attempt for the Render's goal, with Cause.
	Begin Step = "Begin"
	// Compare compares the content with Helm's storage.
	Compare Step = "Compare"
	// Repair puts Helm's storage in order: Message says what.
	Repair Step = "Repair"
	// AskRelease tells render-controller which parameters the next release needs.
	AskRelease Step = "AskRelease"
	// Apply applies the goal's content; Deep compares every object with the cluster whatever is known of it.
	Apply Step = "Apply"
	// Prune deletes what left the inventory.
	Prune Step = "Prune"
	// SkipPrune moves on: there is nothing to prune.
	SkipPrune Step = "SkipPrune"
	// CheckHealth looks at the health of what was applied.
	CheckHealth Step = "CheckHealth"
	// Succeed ends the attempt, or reports its success again.
	Succeed Step = "Succeed"
	// Fail ends the attempt with Reason and Message, or reports the failure again; Stalled when no retry can mend it.
	Fail Step = "Fail"
)

// Action is a step with what it needs.
type Action struct {
	Step Step
	// Rule is why.
	Rule Rule
	// Reason and Message of the Ready condition, for Wait and Fail.
	Reason, Message string
	// Stalled: only a change of the spec can help.
	Stalled bool
	// Progress: the wait is worth a status write.
	Progress bool
	// BlockedBy names what is waited for.
	BlockedBy []string
	// Cause of a new attempt.
	Cause Cause
	// Deep apply.
	Deep bool
	// Delete and Await steer Finalize.
	Delete, Await bool
	// Outside: the failure is not the attempt's own (render-controller's, or the spec's); the attempt stays as it is.
	Outside bool
	// Waiting: the failure goes away by itself, once the source has come so far; nobody needs to be told.
	Waiting bool
	// After is when to look again at the latest; 0 leaves it to events.
	After time.Duration
}
