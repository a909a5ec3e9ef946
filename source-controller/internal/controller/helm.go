package controller

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/chart"
	"github.com/sluice-gitops/sluice/source-controller/internal/config"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/helmchart"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/helmrepository"
	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/artifact"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/cosign"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// maxIndexes bounds what is kept of all indexes together, in bytes: where the versions of each chart are in its file.
const maxIndexes = 16 << 20

// setupHelm registers the kinds HelmRepository and HelmChart, which share what is known of indexes.
func setupHelm(
	ctx context.Context, mgr ctrl.Manager, cfg *config.Config,
	repositories attempt.Runner[*sourcev1.HelmRepository], charts attempt.Runner[*sourcev1.HelmChart], issuer *identity.Issuer,
) error {
	chart.SetFileLimit(cfg.Helm.MaxChartFile)
	secrets := secret.Reader{Live: mgr.GetAPIReader()}
	connections := wire.NewPool()
	client := &helmrepo.Client{
		Connections: connections, Limits: helmrepo.Limits{Index: cfg.Helm.MaxIndex, Chart: cfg.Helm.MaxChart},
	}
	indexes := &helmrepo.Indexes{Limit: maxIndexes}
	options := controller.Options{MaxConcurrentReconciles: cfg.Concurrent}
	if err := (&helmrepository.Reconciler{
		Runner: repositories, Secrets: secrets, Repositories: client, Indexes: indexes, Forget: issuer.Forget,
	}).Setup(mgr, options); err != nil {
		return err
	}
	return (&helmchart.Reconciler{
		Runner: charts, Secrets: secrets, Repositories: client, Indexes: indexes,
		Connections: connections, Clouds: issuer, MaxChart: cfg.Helm.MaxChart,
		Signatures: &artifact.Verifier{Secrets: secrets, Public: cosign.NewPublicRoot(cosign.PublicOptions{})},
	}).Setup(ctx, mgr, options)
}
