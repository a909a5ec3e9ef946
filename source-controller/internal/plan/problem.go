package plan

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reasons of conditions that Flux's API has no constant for.
const (
	// ReasonInvalidSpec: a field asks for something that is not served.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonEmptyRepository: the repository has no commit.
	ReasonEmptyRepository = "EmptyGitRepository"
	// ReasonNewRevision: upstream has a revision that is not stored yet.
	ReasonNewRevision = "NewRevision"
	// ReasonNewArtifact is the event's reason when an artifact with other content was stored.
	ReasonNewArtifact = "NewArtifact"
)

// Problem is why an attempt could not do what the object asks for, in words for its author.
type Problem struct {
	// Condition is the condition that turns True: FetchFailed, BuildFailed, StorageOperationFailed or IncludeUnavailable; or
	// False: SourceVerified.
	Condition string
	// Reason is the condition's reason, from Flux's vocabulary.
	Reason string
	// Message says what is wrong, where, and what to do. It holds no credential.
	Message string
	// Terminal is set when only a change of the object, or of what it watches, can help: nothing is tried again.
	Terminal bool
	// Awaited is set when another object, which is watched, has to come first.
	Awaited bool
	// Transient is set when it goes away by itself: nobody has to be told.
	Transient bool
	// After is how long upstream wants to be left alone; 0 if it did not say.
	After time.Duration
	// Volume is set when this controller's volume is full or broken, which whoever operates it has to mend.
	Volume bool
}

// Error makes a problem usable as an error.
func (p *Problem) Error() string { return p.Message }

// FetchProblem is a problem with what is upstream, which may pass. An error among the arguments says whether the volume is
// to blame.
func FetchProblem(reason, format string, args ...any) *Problem {
	return &Problem{
		Condition: sourcev1.FetchFailedCondition, Reason: reason, Message: fmt.Sprintf(format, args...),
		Volume: slices.ContainsFunc(args, fromVolume),
	}
}

// fromVolume reports whether an error says that a volume has no room, or does not work.
func fromVolume(arg any) bool {
	err, ok := arg.(error)
	return ok && slices.ContainsFunc([]syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS, syscall.EIO},
		func(number syscall.Errno) bool { return errors.Is(err, number) })
}

// StorageProblem is a problem with making or storing the artifact, which may pass.
func StorageProblem(reason, format string, args ...any) *Problem {
	p := FetchProblem(reason, format, args...)
	p.Condition = sourcev1.StorageOperationFailedCondition
	return p
}

// BuildProblem is a problem with building a chart, which may pass.
func BuildProblem(reason, format string, args ...any) *Problem {
	p := FetchProblem(reason, format, args...)
	p.Condition = sourcev1.BuildFailedCondition
	return p
}

// VerificationProblem is a problem with the signature of what is upstream: nothing of it is stored.
func VerificationProblem(reason, format string, args ...any) *Problem {
	p := FetchProblem(reason, format, args...)
	p.Condition = sourcev1.SourceVerifiedCondition
	return p
}

// AwaitedProblem is a problem with another object, which is watched.
func AwaitedProblem(reason, format string, args ...any) *Problem {
	p := FetchProblem(reason, format, args...)
	p.Awaited = true
	return p
}

// TransientProblem is a state that every source comes through, not a failure (api/decisions/0001).
func TransientProblem(reason, format string, args ...any) *Problem {
	p := AwaitedProblem(reason, format, args...)
	p.Transient = true
	return p
}

// terminal marks a problem as one that no retry mends.
func terminal(p *Problem) *Problem {
	p.Terminal = true
	return p
}

// Unreadable says why an object cannot be read, in words that do not differ from one attempt to the next.
func Unreadable(err error) string {
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
		return string(reason)
	}
	return "the API server does not answer"
}
