// Package plan decides what render-controller does with one subject. It reads nothing but its arguments.
//
// The order of the rules in [Decide] is the order in which they win. After a rendering, [MustSeal] says whether the sealed
// file that is there still holds it.
package plan

import (
	"time"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// Problem is why a subject cannot be rendered, in words for its user.
type Problem struct {
	// Reason is the one that Flux uses on the subject.
	Reason string
	// Message says what is wrong, where, and what to do. It holds no secret value.
	Message string
	// Waiting says that it goes away by itself: the source has not come that far yet.
	Waiting bool
	// Retry is when to look again; the subject's own retry interval when zero.
	Retry time.Duration
	// Attempt counts the same problem in a row, where it is counted.
	Attempt int
	// Operator says that nobody but whoever operates the controllers can mend it.
	Operator bool
}

// State is everything that was observed about one subject.
type State struct {
	// Exists is false when the subject is gone.
	Exists bool
	// Deleting and Suspended subjects are left alone.
	Deleting, Suspended bool
	// Problem is what stands in the way of a rendering, if anything.
	Problem *Problem
	// Record is what the subject's Render says; nil when there is none.
	Record *v1alpha1.Render
	// Subject as it was read now.
	Subject v1alpha1.Subject
	// Asked is set when somebody waits for this very attempt (see [ReadLive]).
	Asked bool
	// Replayed is set when the source has another artifact than at the last rendering, and that one answers all that the
	// rendering asked as the one before it did.
	Replayed bool
	// Yielded is set when the subject has let others go first since the source moved.
	Yielded bool
	// Known is the tag of the content that the very same inputs gave before; empty when that is not known.
	Known string
	// Sealed tells of the file that the record names.
	Sealed Sealed
	// Release are the parameters to render a release with; nil for a Kustomization.
	Release *v1alpha1.ReleaseParameters
}

// Sealed is what is known about the file that a record names.
type Sealed struct {
	// OnDisk is set when the file is there.
	OnDisk bool
	// Recipients is the fingerprint of those that may open a rendering now; empty when nobody is named.
	Recipients string
}

// Action is what to do.
type Action int

const (
	// Nothing is to be done, and nothing written.
	Nothing Action = iota
	// Forget drops what is kept about a subject that is gone.
	Forget
	// Yield comes back later: a subject whose content most likely stands lets those go first whose content changed.
	Yield
	// Fail reports the problem. The last good rendering stays.
	Fail
	// Keep reports that the rendering in the record stands.
	Keep
	// Render renders.
	Render
)

func (a Action) String() string {
	return [...]string{"nothing", "forget", "yield", "fail", "keep", "render"}[a]
}

// Rule is why something is done, in one word.
type Rule string

// The rules, by what they say of the subject.
const (
	Gone              Rule = "Gone"
	Deleting          Rule = "Deleting"
	Suspended         Rule = "Suspended"
	OthersFirst       Rule = "OthersFirst"
	Hindered          Rule = "Hindered"
	Unchanged         Rule = "Unchanged"
	InputsChanged     Rule = "InputsChanged"
	NeverRendered     Rule = "NeverRendered"
	ContentChanged    Rule = "ContentChanged"
	FileLost          Rule = "FileLost"
	ReleaseChanged    Rule = "ReleaseChanged"
	RecipientsChanged Rule = "RecipientsChanged"
)

// Decision is what to do, and why.
type Decision struct {
	Action Action
	Rule   Rule
}

// Decide returns what to do.
func Decide(s *State) Decision {
	switch {
	case !s.Exists:
		return Decision{Forget, Gone}
	case s.Deleting:
		return Decision{Nothing, Deleting}
	case s.Suspended:
		return Decision{Nothing, Suspended}
	case s.Replayed && !s.Yielded && !s.Asked:
		return Decision{Yield, OthersFirst}
	case s.Problem != nil:
		return Decision{Fail, Hindered}
	case Good(s) == nil:
		return Decision{Render, NeverRendered}
	case s.Known == "":
		return Decision{Render, InputsChanged}
	}
	if rule := outdated(s, s.Known); rule != "" {
		return Decision{Render, rule}
	}
	return Decision{Keep, Unchanged}
}

// MustSeal says whether content with that tag has to be sealed, or whether the file that the record names holds it, for
// those who may open it now.
func MustSeal(s *State, tag string) bool { return outdated(s, tag) != "" }

// outdated is why the file that the record names does not hold the content with that tag; empty when it does.
func outdated(s *State, tag string) Rule {
	have := Good(s)
	switch {
	case have == nil:
		return NeverRendered
	case have.Tag != tag:
		return ContentChanged
	case !s.Sealed.OnDisk:
		return FileLost
	case !sameRelease(s.Record.Release, s.Release):
		return ReleaseChanged
	case s.Sealed.Recipients != "" && s.Sealed.Recipients != have.Recipients:
		return RecipientsChanged
	default:
		return ""
	}
}

// Good returns the last good rendering of this very subject, not of one of the same name before it.
func Good(s *State) *v1alpha1.Rendering {
	if s.Record == nil || s.Record.Subject.UID != s.Subject.UID {
		return nil
	}
	return s.Record.Rendering
}

// ReadLive says whether the source has to be read from the API server rather than from a cache: a token that has not been
// handed over yet asks for the source as it is now.
func ReadLive(subject v1alpha1.Subject, record *v1alpha1.Render) bool {
	if subject.RequestedAt == "" {
		return false
	}
	return record == nil || record.Subject.UID != subject.UID || record.Subject.RequestedAt != subject.RequestedAt
}

// NextRelease returns the parameters to render a release with: those that sync-controller asks for, or those of a first
// install while it has said nothing about this subject.
func NextRelease(subject v1alpha1.Subject, sync *v1alpha1.Sync) v1alpha1.ReleaseParameters {
	if sync == nil || sync.Release == nil || sync.Subject.UID != subject.UID || sync.Release.Next.Revision < 1 {
		return v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}
	}
	return sync.Release.Next
}

func sameRelease(a, b *v1alpha1.ReleaseParameters) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
