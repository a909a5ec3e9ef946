package controller

import (
	"context"
	"fmt"
	"time"

	"filippo.io/age"
	"github.com/fluxcd/pkg/runtime/conditions"
	fluxcontroller "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/metadata"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/events"
	"github.com/sluice-gitops/sluice/sync-controller/internal/fetch"
	"github.com/sluice-gitops/sluice/sync-controller/internal/health"
	"github.com/sluice-gitops/sluice/sync-controller/internal/impersonate"
	"github.com/sluice-gitops/sluice/sync-controller/internal/measure"
	"github.com/sluice-gitops/sluice/sync-controller/internal/peers"
	"github.com/sluice-gitops/sluice/sync-controller/internal/store"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
	"github.com/sluice-gitops/sluice/sync-controller/internal/target"
)

// Settings are what Build needs beside a manager.
type Settings struct {
	// Store keeps contents and progress, Identities open contents, FingerprintKey keys fingerprints.
	Store          *store.Store
	Identities     []age.Identity
	FingerprintKey []byte
	Announcer      events.Announcer
	Access         access.Checker
	AllowFlux      bool
	// Namespace is where the controllers run.
	Namespace string
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
	// Metrics records how long reconciliations take; nil for not.
	Metrics *metrics.Recorder
	// Register has further collectors scraped; nil for not.
	Register func(...prometheus.Collector) error
	Now      func() time.Time
	// Wrap stands between the reconcilers and their targets; nil for nothing.
	Wrap func(target.For) target.For
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
	managed, gates := drift.NewManaged(watcher), &peers.Gates{}
	clients := &impersonate.Clients{Config: mgr.GetConfig(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()}
	recorder := fluxcontroller.NewMetrics(mgr, s.Metrics, finalizer)
	measured := measure.New(measure.Sources{Kinds: watcher.Count, Storage: s.Store.Size})
	if s.Register != nil {
		if err := s.Register(append(measured.Collectors(), readiness(mgr.GetCache()))...); err != nil {
			return nil, err
		}
	}
	all := make([]*Reconciler, 0, len(subject.Kinds()))
	for _, k := range subject.Kinds() {
		all = append(all, newReconciler(mgr, k, s, managed, gates, watcher, clients, recorder))
		all[len(all)-1].Metrics = measured
	}
	dispatch := newDispatcher(watcher.Signals(), all...)
	if err := mgr.Add(dispatch); err != nil {
		return nil, err
	}
	for _, r := range all {
		if err := r.Setup(ctx, mgr, setupOptions(s, dispatch.triggersOf(r))); err != nil {
			return nil, err
		}
	}
	return func() {
		for _, r := range all {
			r.Reannounce(ctx)
		}
	}, nil
}

func newReconciler(mgr manager.Manager, k subject.Kind, s Settings, managed *drift.Managed, gates *peers.Gates, w *drift.Watcher, clients *impersonate.Clients, recorder fluxcontroller.Metrics) *Reconciler {
	reach := target.Local(clients)
	if s.Wrap != nil {
		reach = s.Wrap(reach)
	}
	return &Reconciler{
		Kind: k, Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Target: reach, Watcher: w, Store: s.Store,
		Fetcher: fetch.New(), Identities: s.Identities, FingerprintKey: s.FingerprintKey, Access: s.Access, AllowFlux: s.AllowFlux,
		Selector: s.Selector, Dependency: s.Dependency, Jitter: s.Jitter, Now: s.Now, Mapper: mgr.GetRESTMapper(),
		Managed: managed, Gates: gates, Signal: w.Signals().Put, Namespace: s.Namespace,
		Events: &events.Emitter{
			Kind: k, Recorder: mgr.GetEventRecorderFor(Name), Announcer: s.Announcer, Dependency: s.Dependency, Now: s.Now, //nolint:staticcheck // core/v1 Events are what flux events reads
		},
		Measure: func(ctx context.Context, o client.Object, started time.Time) {
			if getter, ok := o.(conditions.Getter); ok {
				recorder.RecordDuration(ctx, getter, started)
			}
		},
	}
}

// readiness measures how many subjects are ready, and which are not.
func readiness(cached client.Reader) *process.Readiness {
	kinds := make(map[string]func() client.ObjectList)
	for _, k := range subject.Kinds() {
		kinds[k.Name] = func() client.ObjectList { return k.NewList() }
	}
	return &process.Readiness{Reader: cached, Kinds: kinds}
}

func setupOptions(s Settings, triggers <-chan triggerEvent) Options {
	return Options{
		Concurrent: s.Concurrent, Triggers: triggers,
		RateLimiter: fluxcontroller.GetRateLimiter(fluxcontroller.RateLimiterOptions{MinRetryDelay: s.MinRetry, MaxRetryDelay: s.MaxRetry}),
	}
}

func newWatcher(mgr manager.Manager, s Settings) (*drift.Watcher, error) {
	reader, err := metadata.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make metadata client: %w", err)
	}
	managers := make(map[string]string)
	for _, k := range subject.Kinds() {
		managers[k.Group] = k.Manager
	}
	return drift.NewWatcher(drift.Options{
		Client: reader, Mapper: mgr.GetRESTMapper(), Managers: managers, Key: s.FingerprintKey,
		StatusMatters: health.Relevant, Log: mgr.GetLogger().WithName("drift"),
	}), nil
}
