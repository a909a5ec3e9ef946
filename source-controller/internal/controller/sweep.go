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
	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// sweep removes what objects left on disk that are gone: deleted while no controller ran, with their finalizer removed by
// somebody else. It asks for objects only after it has seen what is on disk, and an object is in the cache before anything
// of it is on disk; so nothing of a new object is taken for an old one's.
func sweep(ctx context.Context, reader client.Reader, files *store.Store, cache *git.Cache, records *bucket.Records) error {
	failed := errors.Join(
		keepUIDs(ctx, reader, func() client.ObjectList { return &sourcev1.GitRepositoryList{} }, cache.Keep),
		keepUIDs(ctx, reader, func() client.ObjectList { return &sourcev1.BucketList{} }, records.Keep),
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

// keepUIDs removes what objects of a kind left by their UID. While they cannot be listed, all count as existing.
func keepUIDs(ctx context.Context, reader client.Reader, list func() client.ObjectList, keep func(live func(uid string) bool) error) error {
	uids := sync.OnceValues(func() (map[string]bool, error) { return listUIDs(ctx, reader, list()) })
	var failed error
	err := keep(func(uid string) bool {
		var live map[string]bool
		live, failed = uids()
		return failed != nil || live[uid]
	})
	return errors.Join(failed, err)
}

func listUIDs(ctx context.Context, reader client.Reader, list client.ObjectList) (map[string]bool, error) {
	if err := reader.List(ctx, list); err != nil {
		return nil, fmt.Errorf("list objects: %w", err)
	}
	live := map[string]bool{}
	err := meta.EachListItem(list, func(item runtime.Object) error {
		if obj, ok := item.(client.Object); ok {
			live[string(obj.GetUID())] = true
		}
		return nil
	})
	return live, err
}
