package controller

import (
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluice-gitops/sluice/sync-controller/internal/health"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// kustomizations is the kind that users write most.
func kustomizations() kind {
	return kind{
		name:         kustomizev1.KustomizationKind,
		group:        kustomizev1.GroupVersion.Group,
		version:      kustomizev1.GroupVersion.Version,
		manager:      "kustomize-controller",
		newObject:    func() client.Object { return &kustomizev1.Kustomization{} },
		newList:      func() client.ObjectList { return &kustomizev1.KustomizationList{} },
		wrap:         wrapKustomization,
		healthy:      true,
		listsChanges: true,
		items: func(list client.ObjectList) []client.Object {
			var items []client.Object
			if l, ok := list.(*kustomizev1.KustomizationList); ok {
				for i := range l.Items {
					items = append(items, &l.Items[i])
				}
			}
			return items
		},
	}
}

func wrapKustomization(o client.Object) subject {
	ks, ok := o.(*kustomizev1.Kustomization)
	if !ok {
		ks = &kustomizev1.Kustomization{}
	}
	return kustomization{ks}
}

type kustomization struct{ ks *kustomizev1.Kustomization }

func (k kustomization) object() client.Object { return k.ks }
func (k kustomization) copied() subject       { return kustomization{k.ks.DeepCopy()} }

func (k kustomization) view() plan.Subject {
	ks := k.ks
	return plan.Subject{
		Kind: kustomizev1.KustomizationKind, Namespace: ks.Namespace, Name: ks.Name, UID: ks.UID, Generation: ks.Generation,
		Token:          ks.Annotations[meta.ReconcileRequestAnnotation],
		Deleting:       !ks.DeletionTimestamp.IsZero(),
		Finalizer:      controllerutil.ContainsFinalizer(ks, kustomizev1.KustomizationFinalizer),
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

func (k kustomization) invalid() string {
	if _, err := health.Compile(k.ks.Spec.HealthCheckExprs); err != nil {
		return err.Error()
	}
	return invalidExpressions(k.ks.Spec.DependsOn)
}

func (k kustomization) status() plan.Status {
	s := plan.Status{Token: k.ks.Status.LastHandledReconcileAt, Revision: k.ks.Status.LastAppliedRevision}
	if ready := apimeta.FindStatusCondition(k.ks.Status.Conditions, meta.ReadyCondition); ready != nil {
		s.Ready, s.Reason, s.ReadyGeneration = string(ready.Status), ready.Reason, ready.ObservedGeneration
	}
	return s
}

func (k kustomization) serviceAccount() string                { return k.ks.Spec.ServiceAccountName }
func (k kustomization) force() bool                           { return k.ks.Spec.Force }
func (k kustomization) dependsOn() []meta.DependencyReference { return k.ks.Spec.DependsOn }

func (k kustomization) source() string {
	ref := k.ks.Spec.SourceRef
	if ref.Namespace == "" {
		ref.Namespace = k.ks.Namespace
	}
	return strings.Join([]string{ref.Kind, ref.Namespace, ref.Name}, "/")
}

func (k kustomization) healthChecks() healthChecks {
	return healthChecks{all: k.ks.Spec.Wait, named: k.ks.Spec.HealthChecks, exprs: k.ks.Spec.HealthCheckExprs}
}

func (k kustomization) conditions() *[]metav1.Condition { return &k.ks.Status.Conditions }

func (k kustomization) inventory() []kustomizev1.ResourceRef {
	if k.ks.Status.Inventory == nil {
		return nil
	}
	return k.ks.Status.Inventory.Entries
}

func (k kustomization) setInventory(refs []kustomizev1.ResourceRef) {
	k.ks.Status.Inventory = &kustomizev1.ResourceInventory{Entries: refs}
}

func (k kustomization) setToken(token string) {
	if token != "" { // that it was taken back is not answered
		k.ks.Status.LastHandledReconcileAt = token
	}
}

func (k kustomization) setObserved(generation int64) { k.ks.Status.ObservedGeneration = generation }

func (k kustomization) attempted(goal plan.Goal) { k.ks.Status.LastAttemptedRevision = goal.Revision }

func (k kustomization) applied(goal plan.Goal) {
	k.ks.Status.LastAppliedRevision = goal.Revision
	k.ks.Status.LastAppliedOriginRevision = goal.OriginRevision
}

func (k kustomization) success(goal plan.Goal) (reason, message string) {
	return plan.ReasonSucceeded, "Applied revision: " + goal.Revision
}

func (k kustomization) failure(outcome string) string { return outcome }

func (k kustomization) exhausted(string) string { return "" }

func (k kustomization) settled(plan.Verdict, time.Time) {}

// record uses the content's tag where Flux has a plain digest of what was rendered: that would let a reader test guesses
// of a secret inside it.
func (k kustomization) record(e entry) {
	metadata := map[string]string{"revision": e.goal.Revision}
	if e.goal.OriginRevision != "" {
		metadata["originRevision"] = e.goal.OriginRevision
	}
	k.ks.Status.History.Upsert(e.goal.Tag, e.at, e.took, e.outcome, metadata)
}

func (k kustomization) refused(reason string) string { return reason }

func (k kustomization) version() string { return k.revisions()["revision"] }

func (k kustomization) revisions() map[string]string {
	revision := k.ks.Status.LastAttemptedRevision
	if revision == "" {
		revision = k.ks.Status.LastAppliedRevision
	}
	return map[string]string{
		"revision":       revision,
		"originRevision": k.ks.Status.LastAppliedOriginRevision,
	}
}
