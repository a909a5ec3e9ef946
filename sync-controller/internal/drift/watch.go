package drift

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
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
			kind:          kind,
			lens:          Lens{OwnerGroup: kind.OwnerGroup, Manager: w.options.Managers[kind.OwnerGroup], Key: w.options.Key},
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

// reflect follows the kind until the context ends: through expired resource versions, outages, and the removal and return
// of its definition.
func (w *Watcher) reflect(ctx context.Context, one *watch) {
	mapping := w.waitForKind(ctx, one.kind)
	if mapping == nil {
		return
	}
	client := w.options.Client.Resource(mapping.Resource)
	selector := inventory.NameLabel(one.kind.OwnerGroup)
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return client.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			o.LabelSelector = selector
			return client.Watch(ctx, o)
		},
	}
	log := w.options.Log.WithValues("kind", one.kind.String())
	cache.NewReflectorWithOptions(
		cache.ToListWatcherWithWatchListSemantics(source, w.options.Client),
		&metav1.PartialObjectMetadata{}, one.store,
		cache.ReflectorOptions{Name: "drift", TypeDescription: one.kind.GroupVersionKind.String(), Logger: &log, Backoff: backoff()},
	).RunWithContext(ctx)
}

// waitForKind finds the resource of the kind; nil when the context ends before there is one.
func (w *Watcher) waitForKind(ctx context.Context, kind Kind) *meta.RESTMapping {
	var mapping *meta.RESTMapping
	_ = backoff().DelayFunc().Until(ctx, true, true, func(context.Context) (bool, error) {
		var err error
		mapping, err = w.options.Mapper.RESTMapping(kind.GroupKind(), kind.Version)
		return err == nil, nil
	})
	return mapping
}

// backoff is how long to wait between attempts to list or watch.
func backoff() *wait.Backoff {
	return &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: 15 * time.Second}
}
