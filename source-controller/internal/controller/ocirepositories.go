package controller

import (
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/controller/ocirepository"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
)

// setupOCIRepositories registers the kind OCIRepository.
func setupOCIRepositories(s *shared) error {
	return (&ocirepository.Reconciler{
		Runner:  runner[*sourcev1.OCIRepository](s, sourcev1.OCIRepositoryKind),
		Secrets: s.secrets, Clouds: s.issuer, Connections: s.connections, Signatures: s.signatures,
		Limits: pack.Limits{Bytes: s.cfg.Storage.MaxBytes, Files: s.cfg.Storage.MaxFiles},
	}).Setup(s.mgr, s.options())
}
