package drift

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Limits of a [Watcher].
const (
	DefaultMaxKinds = 500
	maxWaiting      = 100_000 // objects in the queue before signals are folded
)

// Kind is what one watch is about: the objects of a kind that belong to owners of an API group.
type Kind struct {
	schema.GroupVersionKind
	// OwnerGroup is the owners' API group, for example helm.toolkit.fluxcd.io.
	OwnerGroup string
}

// Options of a [Watcher].
type Options struct {
	// Client reads and watches metadata, of all namespaces.
	Client metadata.Interface
	// Mapper finds the resource of a kind; it must find kinds that appear while it lives.
	Mapper meta.RESTMapper
	// Managers gives the field manager of the owners of an API group, for example kustomize.toolkit.fluxcd.io →
	// kustomize-controller.
	Managers map[string]string
	// Key is that of the fingerprints.
	Key []byte
	// StatusMatters says for which kinds a change of status is worth a signal. Nil: for none.
	StatusMatters func(schema.GroupKind) bool
	// MaxKinds bounds the number of watches; DefaultMaxKinds when zero. Kinds above it are not watched, which is logged.
	MaxKinds int
	Log      logr.Logger
}

// Watcher watches the metadata of managed objects: one watch per [Kind], whatever the number of subjects. Make it with
// [NewWatcher], run it with Start. It is safe for concurrent use.
type Watcher struct {
	options Options
	queue   *Queue

	mu      sync.Mutex
	ctx     context.Context // set while it runs
	running sync.WaitGroup
	watches map[watchKey]*watch
}

// watchKey is what a watch is found by: one version of a kind is enough.
type watchKey struct {
	kind       schema.GroupKind
	ownerGroup string
}

// NewWatcher returns a watcher that watches nothing yet.
func NewWatcher(o Options) *Watcher {
	if o.MaxKinds <= 0 {
		o.MaxKinds = DefaultMaxKinds
	}
	return &Watcher{options: o, queue: NewQueue(maxWaiting), watches: map[watchKey]*watch{}}
}

// Start runs the watches until the context ends, and then waits for them. It implements controller-runtime's Runnable.
func (w *Watcher) Start(ctx context.Context) error {
	w.mu.Lock()
	w.ctx = ctx
	for _, one := range w.watches {
		w.run(one)
	}
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	w.ctx = nil
	w.mu.Unlock()
	w.running.Wait()
	return nil
}

// SetKinds says what to watch from now on: watches are started and ended to fit. It does not block, and may be called
// before Start. Of a kind that is given in two versions, the one that is watched already stays.
func (w *Watcher) SetKinds(kinds []Kind) {
	wanted := w.bounded(kinds)
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, one := range w.watches {
		if _, found := wanted[key]; !found {
			one.stop()
			delete(w.watches, key)
		}
	}
	for key, kind := range wanted {
		if _, found := w.watches[key]; found {
			continue
		}
		one := w.newWatch(kind)
		w.watches[key] = one
		if w.ctx != nil {
			w.run(one)
		}
	}
}

// bounded returns the kinds to watch, no more than allowed; which ones is the same each time.
func (w *Watcher) bounded(kinds []Kind) map[watchKey]Kind {
	kinds = slices.Clone(kinds)
	slices.SortFunc(kinds, func(a, b Kind) int {
		return cmp.Or(cmp.Compare(a.OwnerGroup, b.OwnerGroup), cmp.Compare(a.Group, b.Group),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Version, b.Version))
	})
	wanted := make(map[watchKey]Kind, len(kinds))
	for _, k := range kinds {
		key := watchKey{kind: k.GroupKind(), ownerGroup: k.OwnerGroup}
		if _, found := wanted[key]; found {
			continue
		}
		if len(wanted) == w.options.MaxKinds {
			w.options.Log.Info("too many kinds: changes to objects of the others are only found at each interval",
				"watched", w.options.MaxKinds, "first not watched", k.String())
			break
		}
		wanted[key] = k
	}
	return wanted
}

// Signals is the queue that the watcher feeds.
func (w *Watcher) Signals() *Queue { return w.queue }

// Synced says whether the kind's objects have been listed and are watched: only then does [Watcher.Fingerprint] know what
// is missing.
func (w *Watcher) Synced(ownerGroup string, kind schema.GroupKind) bool {
	one := w.find(ownerGroup, kind)
	return one != nil && one.store.hasSynced()
}

// Fingerprint returns the fingerprint of a live object (see apply.Fingerprint), from memory. Found is false for an object
// that does not exist or does not belong to an owner of the group, and for all of a kind that was not listed yet, or that
// the API server does not let be watched any more.
func (w *Watcher) Fingerprint(ownerGroup string, id inventory.ID) (fingerprint string, found bool) {
	one := w.find(ownerGroup, id.GroupKind)
	if one == nil {
		return "", false
	}
	return one.store.fingerprint(types.NamespacedName{Namespace: id.Namespace, Name: id.Name})
}

func (w *Watcher) find(ownerGroup string, kind schema.GroupKind) *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watches[watchKey{kind: kind, ownerGroup: ownerGroup}]
}
