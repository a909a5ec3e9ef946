package plan

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/event"
)

// Outcome is how an attempt ended.
type Outcome struct {
	// Generation of the object that was read.
	Generation int64
	// Problem is nil after a success.
	Problem *Problem
	// Reason and Message of the conditions after a success.
	Reason, Message string
	// Upstream is the revision upstream has; empty if that is not known.
	Upstream string
	// Artifact is what the status advertises after the attempt; nil for none.
	Artifact *meta.Artifact
	// Stored is set when that artifact can be downloaded.
	Stored bool
	// Verified is whose signature was found good; nil if none is asked for.
	Verified *Verified
	// Now is when the attempt ended.
	Now time.Time
}

// Verified says whose signature of what was found good.
type Verified struct {
	Reason, Message string
}

// Stamp gives a new artifact its time, that of the conditions which say so: an artifact that is older than the Ready condition
// is one that an object recovered with.
func (o Outcome) Stamp(a *meta.Artifact) {
	if a.LastUpdateTime.IsZero() {
		a.LastUpdateTime = o.time()
	}
}

func (o Outcome) time() metav1.Time { return metav1.NewTime(o.Now.UTC().Truncate(time.Second)) }

// Conditions returns the conditions that an object with the given ones shows after an attempt. It changes none of the
// given ones. Reconciling, Stalled and the conditions that tell of something abnormal are there only while they are
// true; each condition carries the generation it is about.
func Conditions(before []metav1.Condition, o Outcome) []metav1.Condition {
	c := conditions{list: append([]metav1.Condition(nil), before...), o: o}
	if o.Problem != nil && o.Problem.Transient {
		return c.transient()
	}
	for _, abnormal := range []string{
		sourcev1.FetchFailedCondition, sourcev1.BuildFailedCondition, sourcev1.StorageOperationFailedCondition,
		sourcev1.IncludeUnavailableCondition,
	} {
		if o.Problem == nil || o.Problem.Condition != abnormal {
			c.remove(abnormal)
		}
	}
	c.artifact()
	if o.Problem == nil {
		c.verified()
		c.remove(meta.ReconcilingCondition)
		c.remove(meta.StalledCondition)
		c.set(meta.ReadyCondition, metav1.ConditionTrue, o.Reason, o.Message)
		return c.list
	}
	p := *o.Problem
	c.set(p.Condition, p.status(), p.Reason, p.Message)
	c.set(meta.ReadyCondition, metav1.ConditionFalse, p.Reason, p.Message)
	if p.Terminal {
		c.remove(meta.ReconcilingCondition)
		c.set(meta.StalledCondition, metav1.ConditionTrue, p.Reason, p.Message)
		return c.list
	}
	c.remove(meta.StalledCondition)
	c.set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, p.Message)
	return c.list
}

type conditions struct {
	list []metav1.Condition
	o    Outcome
}

// transient leaves what is ready as it is; anything else is in progress.
func (c *conditions) transient() []metav1.Condition {
	ready := apimeta.FindStatusCondition(c.list, meta.ReadyCondition)
	if ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == c.o.Generation {
		return c.list
	}
	p := *c.o.Problem
	c.remove(p.Condition)
	c.remove(meta.StalledCondition)
	c.set(meta.ReadyCondition, metav1.ConditionUnknown, p.Reason, p.Message)
	c.set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingReason, p.Message)
	return c.list
}

// status is what the condition of a problem turns.
func (p *Problem) status() metav1.ConditionStatus {
	if p.Condition == sourcev1.SourceVerifiedCondition {
		return metav1.ConditionFalse
	}
	return metav1.ConditionTrue
}

// verified says whose signature the artifact has, and nothing where none is asked for.
func (c *conditions) verified() {
	if c.o.Verified == nil {
		c.remove(sourcev1.SourceVerifiedCondition)
		return
	}
	c.set(sourcev1.SourceVerifiedCondition, metav1.ConditionTrue, c.o.Verified.Reason, c.o.Verified.Message)
}

// artifact sets what is said about the artifact: whether it is in storage, and whether upstream is ahead of it.
func (c *conditions) artifact() {
	o := c.o
	switch {
	case !o.Stored:
		c.remove(sourcev1.ArtifactInStorageCondition)
	case o.Problem == nil:
		c.set(sourcev1.ArtifactInStorageCondition, metav1.ConditionTrue, o.Reason, o.Message)
	}
	if o.Problem == nil || o.Upstream == "" || o.Artifact == nil || o.Artifact.Revision == o.Upstream {
		c.remove(sourcev1.ArtifactOutdatedCondition)
		return
	}
	c.set(sourcev1.ArtifactOutdatedCondition, metav1.ConditionTrue, ReasonNewRevision,
		"new upstream revision '"+o.Upstream+"'")
}

// maxMessage bounds what a condition says, in bytes: the API server takes no more than 32 KiB, and a spec may hold values
// of any length.
const maxMessage = 4 << 10

// Bounded is a message as conditions have it.
func Bounded(message string) string { return event.Shorten(message, maxMessage) }

func (c *conditions) set(kind string, status metav1.ConditionStatus, reason, message string) {
	apimeta.SetStatusCondition(&c.list, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: Bounded(message),
		ObservedGeneration: c.o.Generation,
		LastTransitionTime: c.o.time(),
	})
}

func (c *conditions) remove(kind string) {
	apimeta.RemoveStatusCondition(&c.list, kind)
}

// ObservedGeneration is what status.observedGeneration becomes: it moves on a success and when the object stalls.
func ObservedGeneration(before int64, o Outcome) int64 {
	if o.Problem == nil || o.Problem.Terminal {
		return o.Generation
	}
	return before
}
