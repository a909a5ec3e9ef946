package release

import (
	"context"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release/storage"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Conclude records how the release that was begun ended, and takes a snapshot of it into the status.
func (h helm) Conclude(ctx context.Context, failure string) (*v1alpha1.Release, error) {
	if h.Attempt.Release == 0 {
		return nil, nil
	}
	records, err := h.records()
	if err != nil {
		return nil, err
	}
	ref := RefOf(h.hr)
	latest, err := records.Latest(ctx, ref)
	if err != nil {
		return nil, err
	}
	if latest == nil || latest.Version() != h.Attempt.Release {
		h.Attempt.Release = 0
		return nil, nil
	}
	status := latest.Facts().Status
	switch {
	case failure == "" && status != storage.StatusDeployed:
		latest, err = records.Deploy(ctx, ref, latest, h.hr.GetMaxHistory())
	case failure != "" && status.Pending():
		latest, err = records.Fail(ctx, ref, latest, failure, h.hr.GetMaxHistory())
	}
	if err != nil {
		return nil, err
	}
	h.snapshot(latest, failure)
	return h.summary(storage.Next(latest), latest.Version()), nil
}

// snapshot brings the status to what storage says.
func (h helm) snapshot(latest *storage.Release, failure string) {
	status := &h.hr.Status
	action := helmv2.ReleaseAction(h.Attempt.Action)
	facts := latest.Facts()
	status.History = storage.Remember(status.History, latest.Snapshot(action, subject.OCIDigest(h.hr, h.Attempt.Goal.Revision)))
	status.StorageNamespace = h.hr.GetStorageNamespace()
	if h.failures(facts) == 0 {
		status.Failures, status.InstallFailures, status.UpgradeFailures = 0, 0, 0
	}
	took := metav1.Duration{Duration: h.At().Sub(h.Attempt.Started)}
	status.LastAttemptedReleaseAction, status.LastAttemptedReleaseActionDuration = action, &took
	status.LastAttemptedConfigDigest = facts.ConfigDigest
	if failure == "" {
		return
	}
	status.Failures++
	if action == helmv2.ReleaseActionInstall {
		status.InstallFailures++
	} else {
		status.UpgradeFailures++
	}
}
