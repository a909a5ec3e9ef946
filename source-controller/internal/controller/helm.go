package controller

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/chart"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/helmchart"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/helmrepository"
	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
)

// maxIndexes bounds what is kept of all indexes together, in bytes: where the versions of each chart are in its file.
const maxIndexes = 16 << 20

// setupHelm registers the kinds HelmRepository and HelmChart, which share what is known of indexes.
func setupHelm(ctx context.Context, s *shared) error {
	chart.SetFileLimit(s.cfg.Helm.MaxChartFile)
	client := &helmrepo.Client{
		Connections: s.connections, Limits: helmrepo.Limits{Index: s.cfg.Helm.MaxIndex, Chart: s.cfg.Helm.MaxChart},
	}
	indexes := &helmrepo.Indexes{Limit: maxIndexes}
	if err := (&helmrepository.Reconciler{
		Runner:  runner[*sourcev1.HelmRepository](s, sourcev1.HelmRepositoryKind),
		Secrets: s.secrets, Repositories: client, Indexes: indexes, Forget: s.issuer.Forget,
	}).Setup(s.mgr, s.options()); err != nil {
		return err
	}
	return (&helmchart.Reconciler{
		Runner:  runner[*sourcev1.HelmChart](s, sourcev1.HelmChartKind),
		Secrets: s.secrets, Repositories: client, Indexes: indexes,
		Connections: s.connections, Clouds: s.issuer, MaxChart: s.cfg.Helm.MaxChart, Signatures: s.signatures,
	}).Setup(ctx, s.mgr, s.options())
}
