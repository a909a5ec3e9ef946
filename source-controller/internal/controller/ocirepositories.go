package controller

import (
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/config"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/ocirepository"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/artifact"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/cosign"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// setupOCIRepositories registers the kind OCIRepository.
func setupOCIRepositories(
	mgr ctrl.Manager, cfg *config.Config, runner attempt.Runner[*sourcev1.OCIRepository], issuer *identity.Issuer,
) error {
	secrets := secret.Reader{Live: mgr.GetAPIReader()}
	return (&ocirepository.Reconciler{
		Runner: runner, Secrets: secrets, Clouds: issuer, Connections: wire.NewPool(),
		Signatures: &artifact.Verifier{Secrets: secrets, Public: cosign.NewPublicRoot(cosign.PublicOptions{})},
		Limits:     pack.Limits{Bytes: cfg.Storage.MaxBytes, Files: cfg.Storage.MaxFiles},
	}).Setup(mgr, controller.Options{MaxConcurrentReconciles: cfg.Concurrent})
}
