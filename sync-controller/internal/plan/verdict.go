package plan

import (
	"cmp"
	"time"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Verdict is what the conditions of a subject are to say.
type Verdict struct {
	// Ready with its Reason and Message.
	Ready           metav1.ConditionStatus
	Reason, Message string
	// Stalled: only a change of the spec can help. Its reason and message are those of Ready unless they are given.
	Stalled                       bool
	StalledReason, StalledMessage string
	// Checks says that health decides; Health is its state now, empty when it was not looked at.
	Checks bool
	Health metav1.ConditionStatus
}

// Conditions writes the verdict into a list, as Flux's controllers do: Reconciling and Stalled are there only when true,
// each condition has the generation it speaks about, and a transition time moves only with a status. It says whether the
// subject's observedGeneration moves too.
func (v Verdict) Conditions(list *[]metav1.Condition, generation int64, now time.Time) (observed bool) {
	set := func(kind string, status metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(list, metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: message,
			ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(now),
		})
	}
	set(fluxmeta.ReadyCondition, v.Ready, v.Reason, v.Message)
	v.going(list, set)
	v.healthy(list, set)
	return v.Stalled || v.Ready == metav1.ConditionTrue
}

// setter sets one condition.
type setter func(kind string, status metav1.ConditionStatus, reason, message string)

// going says whether the work goes on: at most one of Stalled and Reconciling is there.
func (v Verdict) going(list *[]metav1.Condition, set setter) {
	reconciling := ""
	switch {
	case v.Stalled:
		set(fluxmeta.StalledCondition, metav1.ConditionTrue, cmp.Or(v.StalledReason, v.Reason), cmp.Or(v.StalledMessage, v.Message))
	case v.Ready == metav1.ConditionFalse:
		reconciling = fluxmeta.ProgressingWithRetryReason
	case v.Ready == metav1.ConditionUnknown:
		reconciling = fluxmeta.ProgressingReason
	}
	if !v.Stalled {
		meta.RemoveStatusCondition(list, fluxmeta.StalledCondition)
	}
	if reconciling == "" {
		meta.RemoveStatusCondition(list, fluxmeta.ReconcilingCondition)
		return
	}
	set(fluxmeta.ReconcilingCondition, metav1.ConditionTrue, reconciling, v.Message)
}

func (v Verdict) healthy(list *[]metav1.Condition, set setter) {
	switch {
	case !v.Checks:
		meta.RemoveStatusCondition(list, fluxmeta.HealthyCondition)
	case v.Health == metav1.ConditionTrue:
		set(fluxmeta.HealthyCondition, v.Health, fluxmeta.SucceededReason, "Health check passed")
	case v.Health == metav1.ConditionFalse:
		set(fluxmeta.HealthyCondition, v.Health, fluxmeta.HealthCheckFailedReason, v.Message)
	case v.Health == metav1.ConditionUnknown:
		set(fluxmeta.HealthyCondition, v.Health, fluxmeta.ProgressingReason, v.Message)
	}
}
