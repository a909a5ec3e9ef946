package release

import (
	"context"
	"fmt"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/sluice-gitops/sluice/sync-controller/internal/peers"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release/storage"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Namespaces hold Helm's storage, as long as the release is to live: an uninstallation removes the records as well.
func (h helm) Namespaces() []string {
	if h.subject.Plan().Deleting {
		return nil
	}
	return []string{h.hr.GetStorageNamespace()}
}

// BeginUninstall marks the release before its first object is deleted.
func (h helm) BeginUninstall(ctx context.Context) error {
	ref, recorded := RecordedRef(h.hr)
	if !recorded {
		return nil
	}
	records, err := h.records()
	if err != nil {
		return err
	}
	latest, err := records.Latest(ctx, ref)
	if err != nil || latest == nil {
		return err
	}
	_, err = records.BeginUninstall(ctx, ref, latest)
	return err
}

// Uninstall removes the release from Helm's storage once its objects are gone. A release that this subject has not made
// stays, whatever its name: somebody else's.
func (h helm) Uninstall(ctx context.Context) error {
	records, err := h.records()
	if err != nil {
		return err
	}
	ref, recorded := RecordedRef(h.hr)
	if !recorded { // nothing was begun, or a crash came before the status
		ref = RefOf(h.hr)
		if own, err := h.ownsUnrecorded(ctx, records, ref); err != nil || !own {
			return err
		}
	}
	if _, err := records.Uninstall(ctx, ref, h.hr.GetUninstall().KeepHistory); err != nil {
		return fmt.Errorf("uninstall release %s: %w", ref, err)
	}
	return nil
}

// ownsUnrecorded says whether a release that the status does not speak of was begun for this subject all the same.
func (h helm) ownsUnrecorded(ctx context.Context, records storage.Storage, ref storage.Ref) (own bool, err error) {
	if len(h.subject.Inventory()) == 0 {
		return false, nil
	}
	latest, err := records.Latest(ctx, ref)
	if err != nil || latest == nil {
		return false, err
	}
	own = latest.Facts().Recorded
	err = peers.Each(ctx, h.Client, func(_ subject.Key, s subject.Subject) error {
		if other, isHelm := s.Object().(*helmv2.HelmRelease); isHelm {
			theirs, theirsRecorded := RecordedRef(other)
			own = own && (!theirsRecorded || theirs != ref)
		}
		return nil
	})
	return own, err
}
