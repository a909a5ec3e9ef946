package controller

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/controller/gitrepository"
	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
)

// clones is the folder of bare clones inside the storage.
const clones = ".git-cache"

// setupGitRepositories registers the kind GitRepository.
func setupGitRepositories(ctx context.Context, s *shared) (*git.Cache, error) {
	dir, err := s.files.Folder(clones)
	if err != nil {
		return nil, err
	}
	cache, err := git.OpenCache(dir)
	if err != nil {
		return nil, err
	}
	client := git.NewClient(git.DefaultLimits())
	client.SSH = s.cfg.SSH
	return cache, (&gitrepository.Reconciler{
		Runner:  runner[*sourcev1.GitRepository](s, sourcev1.GitRepositoryKind),
		Secrets: s.secrets, Identity: s.issuer, Git: client, Clones: cache,
		Limits: pack.Limits{Bytes: s.cfg.Storage.MaxBytes, Files: s.cfg.Storage.MaxFiles},
	}).Setup(ctx, s.mgr, s.options())
}
