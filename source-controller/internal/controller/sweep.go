package controller

import (
	"context"
	"errors"
	"sync"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// sweeper finds out which objects are gone that left something on disk: those deleted while no controller ran, whose
// finalizer somebody removed. It asks only after it has seen what is on disk, and an object is in the cache before
// anything of it is on disk; so nothing of a new object is taken for an old one's.
type sweeper struct {
	ctx    context.Context //nolint:containedctx // it lives for one call of sweep
	reader client.Reader
}

func (s sweeper) sweep(files *store.Store, cache *git.Cache) error {
	uids := sync.OnceValues(s.uids)
	var failed error
	err := cache.Keep(func(uid string) bool {
		live, err := uids()
		failed = err
		return err != nil || live[uid]
	})
	return errors.Join(failed, err,
		files.Keep(sourcev1.GitRepositoryKind, s.live(func() client.Object { return &sourcev1.GitRepository{} })),
		files.Keep(sourcev1.HelmChartKind, s.live(func() client.Object { return &sourcev1.HelmChart{} })),
	)
}

// live reports whether an object is there; one that cannot be read counts as there.
func (s sweeper) live(obj func() client.Object) func(namespace, name string) bool {
	return func(namespace, name string) bool {
		err := s.reader.Get(s.ctx, client.ObjectKey{Namespace: namespace, Name: name}, obj())
		return !apierrors.IsNotFound(err)
	}
}

func (s sweeper) uids() (map[string]bool, error) {
	var repositories sourcev1.GitRepositoryList
	if err := s.reader.List(s.ctx, &repositories); err != nil {
		return nil, err
	}
	live := make(map[string]bool, len(repositories.Items))
	for i := range repositories.Items {
		live[string(repositories.Items[i].UID)] = true
	}
	return live, nil
}
