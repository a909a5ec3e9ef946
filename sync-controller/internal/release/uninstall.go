package release

import (
	"context"
	"fmt"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/sync-controller/internal/hindrance"
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

// DeleteChart deletes the HelmChart that render-controller made for a HelmRelease, if it is still that one.
func (h helm) DeleteChart(ctx context.Context) error {
	key := chartKey(h.subject.Source())
	chart := &metav1.PartialObjectMetadata{}
	chart.SetGroupVersionKind(sourcev1.GroupVersion.WithKind(sourcev1.HelmChartKind))
	if err := h.Live.Get(ctx, key, chart); err != nil {
		return chartRefused(key, err)
	}
	if !h.Owner.Owns(chart.Labels) {
		return nil
	}
	precondition := client.Preconditions{UID: &chart.UID}
	return chartRefused(key, h.Client.Delete(ctx, chart, precondition))
}

// chartRefused says why a HelmChart is not deleted; nil when it is, or when there is none, or no such kind any more.
func chartRefused(key client.ObjectKey, err error) error {
	if client.IgnoreNotFound(err) == nil || meta.IsNoMatchError(err) {
		return nil
	}
	return &hindrance.Error{
		Cause: hindrance.Of(err), What: "HelmChart/" + key.String(), Namespace: key.Namespace,
		Message: "delete " + redact.Object(err, sourcev1.HelmChartKind, key.Namespace, key.Name, false),
	}
}

// chartKey is the namespace and name of a kind/namespace/name.
func chartKey(source string) client.ObjectKey {
	parts := strings.SplitN(source, "/", 3)
	if len(parts) < 3 {
		return client.ObjectKey{}
	}
	return client.ObjectKey{Namespace: parts[1], Name: parts[2]}
}
