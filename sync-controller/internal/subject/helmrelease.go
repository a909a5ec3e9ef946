package subject

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// HelmReleases is the kind that releases charts.
func HelmReleases() Kind {
	return Kind{
		Name:      helmv2.HelmReleaseKind,
		Group:     helmv2.GroupVersion.Group,
		Version:   helmv2.GroupVersion.Version,
		Manager:   "helm-controller",
		NewObject: func() Object { return &helmv2.HelmRelease{} },
		NewList:   func() ObjectList { return &helmv2.HelmReleaseList{} },
		Of:        newHelmRelease,
		Items: func(list ObjectList) []Object {
			var items []Object
			if l, ok := list.(*helmv2.HelmReleaseList); ok {
				for i := range l.Items {
					items = append(items, &l.Items[i])
				}
			}
			return items
		},
	}
}

func newHelmRelease(o Object) Subject {
	hr, ok := o.(*helmv2.HelmRelease)
	if !ok {
		hr = &helmv2.HelmRelease{}
	}
	return helmRelease{hr}
}

type helmRelease struct{ hr *helmv2.HelmRelease }

func (h helmRelease) Object() Object { return h.hr }
func (h helmRelease) Copy() Subject  { return helmRelease{h.hr.DeepCopy()} }

func (h helmRelease) Plan() plan.Subject {
	hr := h.hr
	policy := kustomizev1.DeletionPolicyWaitForTermination
	if hr.GetUninstall().DisableWait {
		policy = kustomizev1.DeletionPolicyDelete
	}
	wait, timeout := h.wait()
	if !hr.DeletionTimestamp.IsZero() {
		timeout = hr.GetUninstall().GetTimeout(hr.GetTimeout()).Duration
	}
	return plan.Subject{
		Kind: helmv2.HelmReleaseKind, Namespace: hr.Namespace, Name: hr.Name, UID: hr.UID, Generation: hr.Generation,
		Token:          hr.Annotations[meta.ReconcileRequestAnnotation],
		Deleting:       !hr.DeletionTimestamp.IsZero(),
		Finalizer:      slices.Contains(hr.Finalizers, helmv2.HelmReleaseFinalizer),
		Suspended:      hr.Spec.Suspend,
		Unsupported:    unsupported(hr),
		Prune:          true,
		DeletionPolicy: policy,
		Corrects:       hr.GetDriftDetection().GetMode() == helmv2.DriftDetectionEnabled,
		Releases:       true,
		Checks:         wait,
		Interval:       max(plan.ShortestInterval, hr.GetRequeueAfter()),
		RetryInterval:  max(plan.ShortestInterval, hr.GetRequeueAfter()),
		Timeout:        timeout,
	}
}

// wait says whether a release waits for its objects, and for how long: as the action does that comes next.
func (h helmRelease) wait() (bool, time.Duration) {
	if h.action() == helmv2.ReleaseActionInstall {
		install := h.hr.GetInstall()
		return !install.DisableWait, install.GetTimeout(h.hr.GetTimeout()).Duration
	}
	upgrade := h.hr.GetUpgrade()
	return !upgrade.DisableWait, upgrade.GetTimeout(h.hr.GetTimeout()).Duration
}

// action is install as long as nothing is released.
func (h helmRelease) action() helmv2.ReleaseAction {
	if len(h.hr.Status.History) == 0 {
		return helmv2.ReleaseActionInstall
	}
	return helmv2.ReleaseActionUpgrade
}

func (h helmRelease) Reported() plan.Status {
	s := plan.Status{Token: h.hr.Status.LastHandledReconcileAt, Revision: h.hr.Status.LastAttemptedRevision}
	if ready := apimeta.FindStatusCondition(h.hr.Status.Conditions, meta.ReadyCondition); ready != nil {
		s.Ready, s.Reason, s.ReadyGeneration = string(ready.Status), ready.Reason, ready.ObservedGeneration
	}
	return s
}

func (h helmRelease) ServiceAccount() string                { return h.hr.Spec.ServiceAccountName }
func (h helmRelease) Force() bool                           { return false }
func (h helmRelease) DependsOn() []meta.DependencyReference { return h.hr.Spec.DependsOn }

// Source is what spec.chartRef names, or the chart that is made for the release.
func (h helmRelease) Source() string {
	if ref := h.hr.Spec.ChartRef; ref != nil {
		return strings.Join([]string{ref.Kind, cmp.Or(ref.Namespace, h.hr.Namespace), ref.Name}, "/")
	}
	return sourcev1.HelmChartKind + "/" + MadeChart(h.hr)
}

// MadeChart is the HelmChart that is made for a release, as namespace/name; empty when the release names one itself.
func MadeChart(hr *helmv2.HelmRelease) string {
	if hr.Spec.ChartRef != nil {
		return ""
	}
	namespace := hr.Namespace
	if hr.Spec.Chart != nil {
		namespace = cmp.Or(hr.Spec.Chart.Spec.SourceRef.Namespace, namespace)
	}
	return namespace + "/" + hr.GetHelmChartName()
}

// OCIDigest is the digest in the revision of a source whose tags can be moved; empty for a release from another source.
func OCIDigest(hr *helmv2.HelmRelease, revision string) string {
	if ref := hr.Spec.ChartRef; ref == nil || (ref.Kind != sourcev1.OCIRepositoryKind && ref.Kind != sourcev1.ExternalArtifactKind) {
		return ""
	}
	digest := revision[strings.LastIndex(revision, "@")+1:]
	if !strings.Contains(digest, ":") {
		return ""
	}
	return digest
}

// ObjectNamespace is the release's: charts leave it out.
func (h helmRelease) ObjectNamespace() string { return h.hr.GetReleaseNamespace() }

func (h helmRelease) HealthChecks() HealthChecks {
	return HealthChecks{All: true, Exprs: h.hr.Spec.HealthCheckExprs}
}

func (h helmRelease) Conditions() *[]metav1.Condition { return &h.hr.Status.Conditions }

func (h helmRelease) Inventory() []kustomizev1.ResourceRef {
	if h.hr.Status.Inventory == nil {
		return nil
	}
	refs := make([]kustomizev1.ResourceRef, 0, len(h.hr.Status.Inventory.Entries))
	for _, ref := range h.hr.Status.Inventory.Entries {
		refs = append(refs, kustomizev1.ResourceRef{ID: ref.ID, Version: ref.Version})
	}
	return refs
}

func (h helmRelease) SetInventory(refs []kustomizev1.ResourceRef) {
	inventory := &helmv2.ResourceInventory{Entries: make([]helmv2.ResourceRef, 0, len(refs))}
	for _, ref := range refs {
		inventory.Entries = append(inventory.Entries, helmv2.ResourceRef{ID: ref.ID, Version: ref.Version})
	}
	h.hr.Status.Inventory = inventory
}

// SetToken answers the tokens of forceAt and resetAt too, whether or not they were acted on.
func (h helmRelease) SetToken(token string) {
	if token != "" { // that it was taken back is not answered
		h.hr.Status.LastHandledReconcileAt = token
	}
	if at := h.hr.Annotations[helmv2.ForceRequestAnnotation]; at != "" {
		h.hr.Status.LastHandledForceAt = at
	}
	if at := h.hr.Annotations[helmv2.ResetRequestAnnotation]; at != "" {
		h.hr.Status.LastHandledResetAt = at
	}
}

func (h helmRelease) SetObserved(generation int64) { h.hr.Status.ObservedGeneration = generation }

func (h helmRelease) SetAttempted(goal plan.Goal) {
	if goal.Version != "" || h.tellsVersion() {
		h.hr.Status.LastAttemptedRevision = goal.StatusRevision()
		h.hr.Status.LastAttemptedRevisionDigest = OCIDigest(h.hr, goal.Revision)
	}
	if goal.Generation > 0 {
		h.hr.Status.LastAttemptedGeneration = goal.Generation
	}
	h.hr.Status.HelmChart = cmp.Or(h.hr.Status.HelmChart, MadeChart(h.hr)) // one that is left goes first: see release
}

// tellsVersion says whether the revision of the release's source is the version of its chart. Otherwise that is known when
// the chart was rendered, and not before.
func (h helmRelease) tellsVersion() bool {
	return strings.HasPrefix(h.Source(), sourcev1.HelmChartKind+"/")
}

func (h helmRelease) SetApplied(plan.Goal) {
	h.hr.Status.StorageNamespace = h.hr.GetStorageNamespace()
	h.hr.Status.Failures, h.hr.Status.InstallFailures, h.hr.Status.UpgradeFailures = 0, 0, 0
}

func (h helmRelease) Success(plan.Goal) (reason, message string) {
	latest := h.hr.Status.History.Latest()
	if latest == nil {
		return helmv2.UpgradeSucceededReason, "Helm release is in sync"
	}
	action, reason := "upgrade", helmv2.UpgradeSucceededReason
	if latest.Action == helmv2.ReleaseActionInstall || (latest.Action == "" && latest.Version == 1) {
		action, reason = "install", helmv2.InstallSucceededReason
	}
	return reason, fmt.Sprintf("Helm %s succeeded for release %s with chart %s", action, latest.FullReleaseName(), latest.VersionedChartName())
}

// Finished is empty: to Flux the outcome of Helm's operation says it all.
func (h helmRelease) Finished() (message, attempt string) { return "", "" }

func (h helmRelease) Release() string {
	if latest := h.hr.Status.History.Latest(); latest != nil {
		return latest.FullReleaseName()
	}
	return ""
}

// FailureReason is what Helm's operation is called that failed; failures before it keep their names.
func (h helmRelease) FailureReason(outcome string) string {
	switch outcome {
	case plan.ReasonApplyFailed, plan.ReasonHealthCheckFailed, plan.ReasonPruneFailed, plan.ReasonRetriesExceeded, plan.ReasonKindMissing:
		if h.attemptedAction() == helmv2.ReleaseActionInstall {
			return helmv2.InstallFailedReason
		}
		return helmv2.UpgradeFailedReason
	}
	return outcome
}

// DeletionFailure: to Helm's users it is an operation of its own.
func (h helmRelease) DeletionFailure() string { return helmv2.UninstallFailedReason }

// RefusalReason: to Helm's users templates are part of the operation that they stop.
func (h helmRelease) RefusalReason(reason string) string {
	switch {
	case reason != plan.ReasonBuildFailed:
		return reason
	case h.action() == helmv2.ReleaseActionInstall:
		return helmv2.InstallFailedReason
	}
	return helmv2.UpgradeFailedReason
}

// attemptedAction is what the latest attempt did, or would have done.
func (h helmRelease) attemptedAction() helmv2.ReleaseAction {
	if action := h.hr.Status.LastAttemptedReleaseAction; action != "" {
		return action
	}
	return h.action()
}

// Exhausted: a release that failed is not retried by itself, as in Flux without remediation. What failed before anything
// was released is.
func (h helmRelease) Exhausted(outcome string) string {
	if h.hr.Status.Failures == 0 || outcome == plan.ReasonKindMissing || outcome == h.FailureReason(outcome) {
		return ""
	}
	return fmt.Sprintf("Failed to %s after %d attempt(s)", h.attemptedAction(), h.hr.Status.Failures)
}

// SetFollowing repeats the outcome of Helm's operation in the Released condition.
func (h helmRelease) SetFollowing(v plan.Verdict, now time.Time) {
	switch v.Reason {
	case helmv2.InstallSucceededReason, helmv2.UpgradeSucceededReason, helmv2.InstallFailedReason, helmv2.UpgradeFailedReason:
		apimeta.SetStatusCondition(&h.hr.Status.Conditions, metav1.Condition{
			Type: helmv2.ReleasedCondition, Status: v.Ready, Reason: v.Reason, Message: v.Message,
			ObservedGeneration: h.hr.Generation, LastTransitionTime: metav1.NewTime(now),
		})
	}
}

// AddHistory does nothing: the history of a HelmRelease are the snapshots of its releases.
func (h helmRelease) AddHistory(HistoryEntry) {}

// Version tells releases of the same chart with other values apart.
func (h helmRelease) Version() string {
	version := h.hr.Status.LastAttemptedRevision
	if latest := h.hr.Status.History.Latest(); latest != nil {
		version += "/" + latest.FullReleaseName()
	}
	return version
}

// Revisions of a release are its chart's version, and as token the digest of its values, which is in the status too.
func (h helmRelease) Revisions() map[string]string {
	revisions := map[string]string{
		eventv1.MetaRevisionKey: h.hr.Status.LastAttemptedRevision,
		eventv1.MetaTokenKey:    h.hr.Status.LastAttemptedConfigDigest,
		"oci-digest":            h.hr.Status.LastAttemptedRevisionDigest,
	}
	if latest := h.hr.Status.History.Latest(); latest != nil {
		revisions["app-version"] = latest.AppVersion
		revisions[eventv1.MetaTokenKey] = cmp.Or(revisions[eventv1.MetaTokenKey], latest.ConfigDigest)
	}
	return revisions
}
