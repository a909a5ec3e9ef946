package subject

import (
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// Subject is a Kustomization or a HelmRelease in memory. Setters change the object only; who holds it writes it.
type Subject interface {
	// Object is the API object behind it.
	Object() Object
	// Copy is an independent copy.
	Copy() Subject

	Spec
	Status
	Outcome
}

// Spec is what the user asks for.
type Spec interface {
	// Plan is the spec as decisions see it.
	Plan() plan.Subject
	ServiceAccount() string
	Force() bool
	DependsOn() []meta.DependencyReference
	// Source is the key of the source object in spec, as kind/namespace/name.
	Source() string
	// ObjectNamespace is given to objects that name none; empty for not.
	ObjectNamespace() string
	HealthChecks() HealthChecks
}

// Status is what is known of the subject.
type Status interface {
	// Reported is the status as decisions see it.
	Reported() plan.Status
	Conditions() *[]metav1.Condition
	Inventory() []kustomizev1.ResourceRef
	SetInventory(refs []kustomizev1.ResourceRef)
	SetToken(token string)
	SetObserved(generation int64)
	// SetAttempted notes the revision that was tried; SetApplied the one that is in the cluster.
	SetAttempted(goal plan.Goal)
	SetApplied(goal plan.Goal)
	// SetFollowing sets further conditions that follow from a verdict.
	SetFollowing(v plan.Verdict, now time.Time)
	// AddHistory adds a line to the history.
	AddHistory(e HistoryEntry)
	// Revisions are the keys of an event's metadata without their group; Version is what makes the same state news.
	Revisions() map[string]string
	Version() string
}

// Outcome is how the kind calls what an attempt ended with.
type Outcome interface {
	// Success is the reason and the message of a Ready condition that is True; FailureReason is the reason of one that is
	// False, given the outcome of an attempt.
	Success(goal plan.Goal) (reason, message string)
	FailureReason(outcome string) string
	// DeletionFailure is the reason of a deletion that is not done.
	DeletionFailure() string
	// RefusalReason is the reason of a Ready condition for what render-controller could not render.
	RefusalReason(reason string) string
	// Exhausted says why a failed attempt is not retried; empty when it is.
	Exhausted(outcome string) string
	// Finished is what Flux says of the latest attempt when it went well, and what tells that attempt from others, whoever
	// asks and whenever. It is empty for a kind that says no more than its Ready condition.
	Finished() (message, attempt string)
	// Release is the release that is in effect, as Flux writes it; empty for a kind that releases nothing.
	Release() string
}

// HealthChecks is what a subject asks to be checked.
type HealthChecks struct {
	// All objects, or the Named ones.
	All   bool
	Named []meta.NamespacedObjectKindReference
	Exprs []kustomize.CustomHealthCheck
}

// HistoryEntry is a line of a history.
type HistoryEntry struct {
	Goal    plan.Goal
	Outcome string
	At      time.Time
	Took    time.Duration
}

// InventoryOf is what the subject's status holds. An entry that cannot be read is passed over.
func InventoryOf(s Subject) inventory.Inventory {
	inv, _ := inventory.Parse(s.Inventory())
	return inv
}

// Ready is the subject's Ready condition; nil without one.
func Ready(s Subject) *metav1.Condition {
	return apimeta.FindStatusCondition(*s.Conditions(), meta.ReadyCondition)
}
