package release

import (
	"context"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/sync-controller/internal/hindrance"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// DeleteChart deletes the HelmCharts that render-controller made for a HelmRelease: the one that its spec asks for, and the
// one of its status, which may be another if the spec was changed.
func (h helm) DeleteChart(ctx context.Context) error {
	for _, chart := range slices.Compact([]string{subject.MadeChart(h.hr), h.hr.Status.HelmChart}) {
		if err := h.deleteChart(ctx, chart); err != nil {
			return err
		}
	}
	return nil
}

// LeaveChart deletes the HelmChart of the status when the release is made from another source now. It is called when that
// one's chart is in effect, and not before.
func (h helm) LeaveChart(ctx context.Context) error {
	made := h.hr.Status.HelmChart
	if made == "" || made == subject.MadeChart(h.hr) || h.subject.Source() == sourcev1.HelmChartKind+"/"+made {
		return nil
	}
	if err := h.deleteChart(ctx, made); err != nil {
		return err
	}
	h.hr.Status.HelmChart = ""
	return nil
}

// deleteChart deletes a HelmChart, as namespace/name, if it is still the one that was made for the release.
func (h helm) deleteChart(ctx context.Context, name string) error {
	namespace, name, named := strings.Cut(name, "/")
	if !named {
		return nil
	}
	key := client.ObjectKey{Namespace: namespace, Name: name}
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
