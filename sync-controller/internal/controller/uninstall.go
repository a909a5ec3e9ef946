package controller

import (
	"context"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/keep"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release"
)

// uninstall removes the release from Helm's storage once its objects are gone. A release that this subject has not made
// stays, whatever its name: somebody else's.
func (p *pass) uninstall(ctx context.Context) error {
	h, isHelm := p.helm()
	if !isHelm {
		return nil
	}
	storage, err := p.storage()
	if err != nil {
		return err
	}
	ref, recorded := release.RecordedRef(h.hr)
	if !recorded { // nothing was begun, or a crash came before the status
		ref = release.RefOf(h.hr)
		if own, err := p.unspoken(ctx, storage, ref); err != nil || !own {
			return err
		}
	}
	if _, err := storage.Uninstall(ctx, ref, h.hr.GetUninstall().KeepHistory); err != nil {
		return fmt.Errorf("uninstall release %s: %w", ref, err)
	}
	return nil
}

// unspoken says whether a release that the status does not speak of was begun for this subject all the same.
func (p *pass) unspoken(ctx context.Context, storage release.Storage, ref release.Ref) (own bool, err error) {
	if len(p.subject.inventory()) == 0 {
		return false, nil
	}
	latest, err := storage.Latest(ctx, ref)
	if err != nil || latest == nil {
		return false, err
	}
	own = latest.Facts().Recorded
	err = p.eachSubject(ctx, func(_ keep.Key, s subject) error {
		if other, isHelm := s.(helmRelease); isHelm {
			theirs, recorded := release.RecordedRef(other.hr)
			own = own && (!recorded || theirs != ref)
		}
		return nil
	})
	return own, err
}

// beginUninstall marks the release before its first object is deleted.
func (p *pass) beginUninstall(ctx context.Context) error {
	h, isHelm := p.helm()
	if !isHelm {
		return nil
	}
	ref, recorded := release.RecordedRef(h.hr)
	if !recorded {
		return nil
	}
	storage, err := p.storage()
	if err != nil {
		return err
	}
	latest, err := storage.Latest(ctx, ref)
	if err != nil || latest == nil {
		return err
	}
	_, err = storage.BeginUninstall(ctx, ref, latest)
	return err
}

// releaseChart deletes the HelmChart that render-controller made for a HelmRelease, if it is still that one.
func (p *pass) releaseChart(ctx context.Context) error {
	h, isHelm := p.helm()
	if !isHelm {
		return nil
	}
	key := splitKey(h.source())
	chart := &metav1.PartialObjectMetadata{}
	chart.SetGroupVersionKind(sourcev1.GroupVersion.WithKind(sourcev1.HelmChartKind))
	if err := p.Live.Get(ctx, key, chart); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !p.owner().Owns(chart.Labels) {
		return nil
	}
	precondition := client.Preconditions{UID: &chart.UID}
	if err := p.Client.Delete(ctx, chart, precondition); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete HelmChart %s: %w", key, err)
	}
	return nil
}

// releasable leaves out what Helm never deletes: definitions of kinds, with everything inside them.
func (p *pass) releasable(entries []inventory.Entry) []inventory.Entry {
	if _, isHelm := p.helm(); !isHelm {
		return entries
	}
	kept := make([]inventory.Entry, 0, len(entries))
	for _, e := range entries {
		if e.ID.GroupKind.Kind != "CustomResourceDefinition" {
			kept = append(kept, e)
		}
	}
	return kept
}
