package controller

import (
	"context"
	"fmt"
	"time"

	"filippo.io/age"
	"github.com/fluxcd/pkg/runtime/conditions"
	fluxcontroller "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/metrics"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/metadata"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/fetch"
	"github.com/sluice-gitops/sluice/sync-controller/internal/health"
	"github.com/sluice-gitops/sluice/sync-controller/internal/impersonate"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/keep"
	"github.com/sluice-gitops/sluice/sync-controller/internal/prune"
)

// Settings are what Build needs beside a manager.
type Settings struct {
	// Store keeps contents and progress, Identities open contents, PrintKey keys fingerprints.
	Store      *keep.Store
	Identities []age.Identity
	PrintKey   []byte
	Announcer  Announcer
	Access     access.Checker
	AllowFlux  bool
	// Dependency is how soon dependencies are looked at again without any event.
	Dependency time.Duration
	// Concurrent subjects of one kind.
	Concurrent int
	// MinRetry and MaxRetry bound the delay after unexpected errors.
	MinRetry, MaxRetry time.Duration
	// Selector narrows to subjects with certain labels; nil for all.
	Selector labels.Selector
	// Jitter spreads intervals.
	Jitter func(time.Duration) time.Duration
	// Metrics records how long passes take; nil for not.
	Metrics *metrics.Recorder
	Now     func() time.Time
	// Wrap stands between the reconcilers and their hands; nil for nothing.
	Wrap func(HandsFor) HandsFor
}

// Build makes the reconcilers of all kinds with everything they share, and registers them with the manager. The function it
// returns announces every subject's state again.
func Build(ctx context.Context, mgr manager.Manager, s Settings) (reannounce func(), err error) {
	watcher, err := newWatcher(mgr, s)
	if err != nil {
		return nil, err
	}
	if err := mgr.Add(watcher); err != nil {
		return nil, err
	}
	if _, err := mgr.GetCache().GetInformer(ctx, &v1alpha1.Sync{}); err != nil {
		return nil, fmt.Errorf("watch Sync records: %w", err)
	}
	shared := NewShared(watcher)
	clients := &impersonate.Clients{Config: mgr.GetConfig(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()}
	measure := fluxcontroller.NewMetrics(mgr, s.Metrics, finalizer)
	all := make([]*Reconciler, 0, len(kinds()))
	for _, k := range kinds() {
		all = append(all, newReconciler(mgr, k, s, shared, watcher, clients, measure))
	}
	carrier := newPump(watcher.Signals(), all...)
	if err := mgr.Add(carrier); err != nil {
		return nil, err
	}
	for _, r := range all {
		if err := r.Setup(ctx, mgr, setupOptions(s, carrier.wakesOf(r))); err != nil {
			return nil, err
		}
	}
	return func() {
		for _, r := range all {
			r.Reannounce(ctx)
		}
	}, nil
}

func newReconciler(mgr manager.Manager, k kind, s Settings, shared *Shared, w Watcher, clients *impersonate.Clients, measure fluxcontroller.Metrics) *Reconciler {
	hands := handsFor(clients)
	if s.Wrap != nil {
		hands = s.Wrap(hands)
	}
	return &Reconciler{
		Kind: k, Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Hands: hands, Watcher: w, Store: s.Store,
		Fetcher: fetch.New(), Identities: s.Identities, PrintKey: s.PrintKey, Access: s.Access, AllowFlux: s.AllowFlux,
		Selector:   s.Selector,
		Dependency: s.Dependency, Recorder: mgr.GetEventRecorderFor(Name), Announcer: s.Announcer, //nolint:staticcheck // core/v1 Events are what flux events reads
		Jitter: s.Jitter, Now: s.Now, Shared: shared, Mapper: mgr.GetRESTMapper(),
		Measure: func(ctx context.Context, o client.Object, started time.Time) {
			if getter, ok := o.(conditions.Getter); ok {
				measure.RecordDuration(ctx, getter, started)
			}
		},
	}
}

func setupOptions(s Settings, wakes <-chan wakeEvent) Options {
	return Options{
		Concurrent: s.Concurrent, Wakes: wakes,
		RateLimiter: fluxcontroller.GetRateLimiter(fluxcontroller.RateLimiterOptions{MinRetryDelay: s.MinRetry, MaxRetryDelay: s.MaxRetry}),
	}
}

func newWatcher(mgr manager.Manager, s Settings) (*drift.Watcher, error) {
	reader, err := metadata.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make metadata client: %w", err)
	}
	managers := make(map[string]string)
	for _, k := range kinds() {
		managers[k.group] = k.manager
	}
	return drift.NewWatcher(drift.Options{
		Client: reader, Mapper: mgr.GetRESTMapper(), Managers: managers, Key: s.PrintKey,
		StatusMatters: health.Relevant, Log: mgr.GetLogger().WithName("drift"),
	}), nil
}

// handsFor makes the real hands.
func handsFor(clients *impersonate.Clients) HandsFor {
	return func(owner inventory.Owner, manager, user string) (Hands, error) {
		c, err := clients.For(user)
		if err != nil {
			return Hands{}, err
		}
		return Hands{
			Applier: &apply.Applier{Client: c, FieldManager: manager, Owner: owner},
			Pruner:  &prune.Pruner{Client: c, Owner: owner},
			Client:  c,
			Secrets: c.Secrets,
		}, nil
	}
}
