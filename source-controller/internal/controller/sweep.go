package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/gitrepository"
	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// sweep removes what objects left on disk that are gone: deleted while no controller ran, with their finalizer removed by
// somebody else. It asks for objects only after it has seen what is on disk, and an object is in the cache before anything
// of it is on disk; so nothing of a new object is taken for an old one's.
func sweep(ctx context.Context, reader client.Reader, files *store.Store, cache *git.Cache, records *bucket.Records) error {
	failed := errors.Join(
		keepUsed(ctx, reader, func() client.ObjectList { return &sourcev1.GitRepositoryList{} }, cloneOf, cache.Keep),
		keepUsed(ctx, reader, func() client.ObjectList { return &sourcev1.BucketList{} }, uidOf, records.Keep),
	)
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

// keepUsed removes what no object of a kind uses, by the key under which each has something. While they cannot be listed, all
// counts as used.
func keepUsed(
	ctx context.Context, reader client.Reader, list func() client.ObjectList, key func(client.Object) string,
	keep func(live func(key string) bool) error,
) error {
	used := sync.OnceValues(func() (map[string]bool, error) { return keysInUse(ctx, reader, list(), key) })
	var failed error
	err := keep(func(key string) bool {
		var live map[string]bool
		live, failed = used()
		return failed != nil || live[key]
	})
	return errors.Join(failed, err)
}

func keysInUse(
	ctx context.Context, reader client.Reader, list client.ObjectList, key func(client.Object) string,
) (map[string]bool, error) {
	if err := reader.List(ctx, list); err != nil {
		return nil, fmt.Errorf("list objects: %w", err)
	}
	used := map[string]bool{}
	err := meta.EachListItem(list, func(item runtime.Object) error {
		if obj, ok := item.(client.Object); ok {
			used[key(obj)] = true
		}
		return nil
	})
	return used, err
}

func uidOf(obj client.Object) string { return string(obj.GetUID()) }

// cloneOf is the key of the clone that a GitRepository uses, alone or with others.
func cloneOf(obj client.Object) string {
	repository, ok := obj.(*sourcev1.GitRepository)
	if !ok {
		return ""
	}
	return gitrepository.CloneOf(repository)
}
