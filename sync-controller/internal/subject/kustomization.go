package subject

import (
	"fmt"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// Kustomizations is the kind that users write most.
func Kustomizations() Kind {
	return Kind{
		Name:           kustomizev1.KustomizationKind,
		Group:          kustomizev1.GroupVersion.Group,
		Version:        kustomizev1.GroupVersion.Version,
		Manager:        "kustomize-controller",
		NewObject:      func() Object { return &kustomizev1.Kustomization{} },
		NewList:        func() ObjectList { return &kustomizev1.KustomizationList{} },
		Of:             newKustomization,
		HasHealthy:     true,
		ListsChanges:   true,
		RevisionsAlign: true,
		Items: func(list ObjectList) []Object {
			var items []Object
			if l, ok := list.(*kustomizev1.KustomizationList); ok {
				for i := range l.Items {
					items = append(items, &l.Items[i])
				}
			}
			return items
		},
	}
}

func newKustomization(o Object) Subject {
	ks, ok := o.(*kustomizev1.Kustomization)
	if !ok {
		ks = &kustomizev1.Kustomization{}
	}
	return kustomization{ks: ks, attempted: &plan.Goal{}}
}

type kustomization struct {
	ks *kustomizev1.Kustomization
	// attempted is what was tried since the object was read: its status has no room for the origin of a revision that failed.
	attempted *plan.Goal
}

func (k kustomization) Object() Object { return k.ks }

func (k kustomization) Copy() Subject {
	attempted := *k.attempted
	return kustomization{k.ks.DeepCopy(), &attempted}
}

func (k kustomization) Plan() plan.Subject {
	ks := k.ks
	return plan.Subject{
		Kind: kustomizev1.KustomizationKind, Namespace: ks.Namespace, Name: ks.Name, UID: ks.UID, Generation: ks.Generation,
		Token:          ks.Annotations[meta.ReconcileRequestAnnotation],
		Deleting:       !ks.DeletionTimestamp.IsZero(),
		Finalizer:      slices.Contains(ks.Finalizers, kustomizev1.KustomizationFinalizer),
		Suspended:      ks.Spec.Suspend,
		Unsupported:    plan.Unsupported(ks),
		Prune:          ks.Spec.Prune,
		DeletionPolicy: ks.GetDeletionPolicy(),
		Corrects:       true,
		Checks:         ks.Spec.Wait || len(ks.Spec.HealthChecks) > 0,
		Interval:       max(plan.ShortestInterval, ks.GetRequeueAfter()),
		RetryInterval:  max(plan.ShortestInterval, ks.GetRetryInterval()),
		Timeout:        ks.GetTimeout(),
	}
}

func (k kustomization) Reported() plan.Status {
	s := plan.Status{Token: k.ks.Status.LastHandledReconcileAt, Revision: k.ks.Status.LastAppliedRevision}
	if ready := apimeta.FindStatusCondition(k.ks.Status.Conditions, meta.ReadyCondition); ready != nil {
		s.Ready, s.Reason, s.ReadyGeneration = string(ready.Status), ready.Reason, ready.ObservedGeneration
	}
	return s
}

func (k kustomization) ServiceAccount() string                { return k.ks.Spec.ServiceAccountName }
func (k kustomization) Force() bool                           { return k.ks.Spec.Force }
func (k kustomization) DependsOn() []meta.DependencyReference { return k.ks.Spec.DependsOn }

func (k kustomization) Source() string {
	ref := k.ks.Spec.SourceRef
	if ref.Namespace == "" {
		ref.Namespace = k.ks.Namespace
	}
	return strings.Join([]string{ref.Kind, ref.Namespace, ref.Name}, "/")
}

// ObjectNamespace: kustomize has put a namespace on everything that gets one.
func (k kustomization) ObjectNamespace() string { return "" }

func (k kustomization) HealthChecks() HealthChecks {
	return HealthChecks{All: k.ks.Spec.Wait, Named: k.ks.Spec.HealthChecks, Exprs: k.ks.Spec.HealthCheckExprs}
}

func (k kustomization) Conditions() *[]metav1.Condition { return &k.ks.Status.Conditions }

func (k kustomization) Inventory() []kustomizev1.ResourceRef {
	if k.ks.Status.Inventory == nil {
		return nil
	}
	return k.ks.Status.Inventory.Entries
}

func (k kustomization) SetInventory(refs []kustomizev1.ResourceRef) {
	k.ks.Status.Inventory = &kustomizev1.ResourceInventory{Entries: refs}
}

func (k kustomization) SetToken(token string) {
	if token != "" { // that it was taken back is not answered
		k.ks.Status.LastHandledReconcileAt = token
	}
}

func (k kustomization) SetObserved(generation int64) { k.ks.Status.ObservedGeneration = generation }

func (k kustomization) SetAttempted(goal plan.Goal) {
	k.ks.Status.LastAttemptedRevision = goal.Revision
	*k.attempted = goal
}

func (k kustomization) SetApplied(goal plan.Goal) {
	k.ks.Status.LastAppliedRevision = goal.Revision
	k.ks.Status.LastAppliedOriginRevision = goal.OriginRevision
}

func (k kustomization) Success(goal plan.Goal) (reason, message string) {
	return plan.ReasonSucceeded, "Applied revision: " + goal.Revision
}

// Finished takes the duration from the history, so that it is the same after a restart. A status without one was written by
// a Flux that kept none.
func (k kustomization) Finished() (message, attempt string) {
	next := k.ks.Spec.Interval.Duration
	latest := k.ks.Status.History.Latest()
	if latest == nil {
		return fmt.Sprintf("Reconciliation finished, next run in %s", next), ""
	}
	return fmt.Sprintf("Reconciliation finished in %s, next run in %s", latest.LastReconciledDuration.Duration, next),
		fmt.Sprintf("%s#%d", latest.LastReconciled.UTC().Format(time.RFC3339), latest.TotalReconciliations)
}

func (k kustomization) Release() string { return "" }

func (k kustomization) FailureReason(outcome string) string { return outcome }

func (k kustomization) Exhausted(string) string { return "" }

func (k kustomization) SetFollowing(plan.Verdict, time.Time) {}

// AddHistory uses the content's tag where Flux has a plain digest of what was rendered: that would let a reader test guesses
// of a secret inside it.
func (k kustomization) AddHistory(e HistoryEntry) {
	metadata := map[string]string{"revision": e.Goal.Revision}
	if e.Goal.OriginRevision != "" {
		metadata["originRevision"] = e.Goal.OriginRevision
	}
	k.ks.Status.History.Upsert(e.Goal.Tag, e.At, e.Took, e.Outcome, metadata)
}

func (k kustomization) DeletionFailure() string { return plan.ReasonPruneFailed }

func (k kustomization) RefusalReason(reason string) string { return reason }

func (k kustomization) Version() string { return k.Revisions()["revision"] }

func (k kustomization) Revisions() map[string]string {
	revision := k.ks.Status.LastAttemptedRevision
	if revision == "" {
		revision = k.ks.Status.LastAppliedRevision
	}
	return map[string]string{
		"revision":       revision,
		"originRevision": k.origin(revision),
	}
}

// origin is what a revision was made from; empty when that is not known any more. It never is another revision's: the
// status of a commit would be set on the wrong one.
func (k kustomization) origin(revision string) string {
	switch status := &k.ks.Status; revision {
	case k.attempted.Revision:
		return k.attempted.OriginRevision
	case status.LastAppliedRevision:
		return status.LastAppliedOriginRevision
	default:
		if latest := status.History.Latest(); latest != nil && latest.Metadata["revision"] == revision {
			return latest.Metadata["originRevision"]
		}
		return ""
	}
}
