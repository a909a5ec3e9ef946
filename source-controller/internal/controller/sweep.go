package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// sweep removes what objects left on disk that are gone: deleted while no controller ran, with their finalizer removed by
// somebody else. It asks for objects only after it has seen what is on disk, and an object is in the cache before anything
// of it is on disk; so nothing of a new object is taken for an old one's.
func sweep(ctx context.Context, reader client.Reader, files *store.Store, cache *git.Cache) error {
	uids := sync.OnceValues(func() (map[string]bool, error) { return listUIDs(ctx, reader) })
	var failed error
	err := cache.Keep(func(uid string) bool {
		var live map[string]bool
		live, failed = uids()
		return failed != nil || live[uid]
	})
	failed = errors.Join(failed, err)
	for _, k := range kinds() {
		failed = errors.Join(failed, files.Keep(k.name, exists(ctx, reader, k.new)))
	}
	return failed
}

// exists tells whether an object does; one that cannot be read counts as existing.
func exists(ctx context.Context, reader client.Reader, obj func() client.Object) func(namespace, name string) bool {
	return func(namespace, name string) bool {
		err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, obj())
		return !apierrors.IsNotFound(err)
	}
}

func listUIDs(ctx context.Context, reader client.Reader) (map[string]bool, error) {
	var repositories sourcev1.GitRepositoryList
	if err := reader.List(ctx, &repositories); err != nil {
		return nil, fmt.Errorf("list GitRepositories: %w", err)
	}
	live := make(map[string]bool, len(repositories.Items))
	for i := range repositories.Items {
		live[string(repositories.Items[i].UID)] = true
	}
	return live, nil
}
