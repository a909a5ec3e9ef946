package drift

import (
	"context"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/kinds"
)

// watch is one running watch, and what it has seen.
type watch struct {
	kind   Kind
	store  *store
	cancel context.CancelFunc // nil until it runs
}

// stop ends the watch. It does not wait for it.
func (o *watch) stop() {
	if o.cancel != nil {
		o.cancel()
	}
}

func (w *Watcher) newWatch(kind Kind) *watch {
	matters := w.options.StatusMatters
	return &watch{
		kind: kind,
		store: &store{
			kind: kind,
			lens: Lens{
				Kind: kind.GroupKind(), OwnerGroup: kind.OwnerGroup,
				Manager: w.options.Managers[kind.OwnerGroup], Key: w.options.Key,
			},
			statusMatters: matters != nil && matters(kind.GroupKind()),
			emit:          w.queue.Put,
			seen:          map[types.NamespacedName]*Seen{},
		},
	}
}

// run starts a watch. The caller holds the lock, and the watcher has been started.
func (w *Watcher) run(one *watch) {
	ctx, cancel := context.WithCancel(w.ctx)
	one.cancel = cancel
	w.running.Go(func() {
		defer cancel()
		w.reflect(ctx, one)
	})
}

// reflect follows the kind until the context ends: through expired resource versions, outages, the removal and return of
// its definition, and the end of a version of it.
func (w *Watcher) reflect(ctx context.Context, one *watch) {
	resource, found := w.waitForKind(ctx, one.kind)
	if !found {
		return
	}
	selector := inventory.NameLabel(one.kind.OwnerGroup)
	// heard looks at how a request ended. When the version is not served any more, the next one asks for another.
	heard := func(err error) error {
		if err != nil {
			one.store.hear(err)
		}
		if apierrors.IsNotFound(err) {
			resource = w.served(ctx, one.kind, resource)
		}
		return err
	}
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			list, err := w.options.Client.Resource(resource).List(ctx, o)
			return list, heard(err)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			o.LabelSelector = selector
			events, err := w.options.Client.Resource(resource).Watch(ctx, o)
			if err == nil && o.SendInitialEvents == nil { // it goes on where the one before has ended
				one.store.hear(nil)
			}
			return events, heard(err)
		},
	}
	log := w.options.Log.WithValues("kind", one.kind.String())
	cache.NewReflectorWithOptions(
		cache.ToListWatcherWithWatchListSemantics(source, w.options.Client),
		&metav1.PartialObjectMetadata{}, one.store,
		cache.ReflectorOptions{Name: "drift", TypeDescription: one.kind.GroupVersionKind.String(), Logger: &log, Backoff: backoff()},
	).RunWithContext(ctx)
}

// waitForKind finds the resource of the kind, in its own version or else in any: metadata is the same in all of them. It
// is not found when the context ends before there is one.
func (w *Watcher) waitForKind(ctx context.Context, kind Kind) (resource schema.GroupVersionResource, found bool) {
	err := backoff().DelayFunc().Until(ctx, true, true, func(context.Context) (bool, error) {
		mapping, err := w.options.Mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if meta.IsNoMatchError(err) {
			mapping, err = w.options.Mapper.RESTMapping(kind.GroupKind())
		}
		if err != nil {
			return false, nil
		}
		resource = mapping.Resource
		return true, nil
	})
	return resource, err == nil
}

// served is a resource that the kind has now, in whatever version; the one before when it has none, or nobody can say. Of
// several it is another one than before.
func (w *Watcher) served(ctx context.Context, kind Kind, before schema.GroupVersionResource) schema.GroupVersionResource {
	mappings, err := kinds.Served(ctx, w.options.Mapper, kind.GroupKind())
	if err != nil || len(mappings) == 0 {
		return before
	}
	at := slices.IndexFunc(mappings, func(m *meta.RESTMapping) bool { return m.Resource == before })
	return mappings[(at+1)%len(mappings)].Resource
}

// backoff is how long to wait between attempts to list or watch.
func backoff() *wait.Backoff {
	return &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: 15 * time.Second}
}
