package controller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/metrics"
	"github.com/fluxcd/pkg/runtime/pprof"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/config"
	"github.com/sluice-gitops/sluice/sync-controller/internal/identity"
	"github.com/sluice-gitops/sluice/sync-controller/internal/keep"
)

// shutdown is how long passes may go on when the process is asked to end.
const shutdown = 30 * time.Second

// NewScheme knows every kind that is read or written as a Go type.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, kustomizev1.AddToScheme, helmv2.AddToScheme, sourcev1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("make scheme: %w", err)
		}
	}
	return scheme, nil
}

// NewManager makes the manager that the controllers run in.
func NewManager(at *rest.Config, cfg config.Config) (manager.Manager, error) {
	scheme, err := NewScheme()
	if err != nil {
		return nil, err
	}
	var namespaces map[string]cache.Config
	if !cfg.AllNamespaces {
		namespaces = map[string]cache.Config{cfg.Namespace: {}}
	}
	grace := shutdown
	mgr, err := ctrl.NewManager(at, ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       server.Options{BindAddress: cfg.MetricsAddr, ExtraHandlers: pprof.GetHandlers()},
		HealthProbeBindAddress:        cfg.HealthAddr,
		Cache:                         CacheOptions(namespaces),
		Client:                        client.Options{Cache: &client.CacheOptions{DisableFor: Uncached()}},
		GracefulShutdownTimeout:       &grace,
		LeaderElection:                cfg.LeaderElection.Enable,
		LeaderElectionReleaseOnCancel: cfg.LeaderElection.ReleaseOnCancel,
		LeaseDuration:                 &cfg.LeaderElection.LeaseDuration,
		RenewDeadline:                 &cfg.LeaderElection.RenewDeadline,
		RetryPeriod:                   &cfg.LeaderElection.RetryPeriod,
		LeaderElectionID:              leaderelection.GenerateID(Name+"-leader-election", selectorParts(cfg)...),
		LeaderElectionNamespace:       cfg.Namespace,
		Logger:                        ctrl.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("create manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("healthz", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("readyz", healthz.Ping)
}

// selectorParts give every shard an election of its own.
func selectorParts(cfg config.Config) []string {
	if cfg.Selector.Empty() {
		return nil
	}
	return []string{cfg.Selector.String()}
}

// Setup registers everything that runs in the manager. Without a bus notifications are off.
func Setup(ctx context.Context, mgr manager.Manager, cfg config.Config, store *keep.Store, messages bus.Bus) error {
	keys, err := identity.Ensure(ctx, mgr.GetClient(), cfg.Namespace)
	if err != nil {
		return err
	}
	if messages == nil {
		mgr.GetLogger().Info("notifications are off: --nats-url is not set")
	}
	var states announcer
	outbox := bus.NewOutbox(messages, bus.OutboxOptions{
		Log: mgr.GetLogger().WithName("outbox"), Reannounce: states.again,
		Stuck: bus.Late(mgr.GetEventRecorderFor(Name), cfg.Namespace, Name), //nolint:staticcheck // core/v1 Events are what kubectl describe shows
	})
	if err := mgr.Add(outbox); err != nil {
		return err
	}
	for _, c := range outbox.Collectors() {
		if err := ctrlmetrics.Registry.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	again, err := Build(ctx, mgr, Settings{
		Store: store, Identities: keys.Identities, PrintKey: keys.Fingerprint, Announcer: outbox,
		Access:    access.Checker{NoCrossNamespace: cfg.NoCrossNamespaceRefs, DefaultServiceAccount: cfg.DefaultServiceAccount},
		AllowFlux: cfg.AllowFlux, Dependency: cfg.RequeueDependency, Concurrent: cfg.Concurrent,
		MinRetry: cfg.MinRetryDelay, MaxRetry: cfg.MaxRetryDelay, Selector: cfg.Selector,
		Jitter: spread(cfg.Jitter), Metrics: metrics.MustMakeRecorder(), Now: time.Now,
	})
	states.set(again)
	return err
}

// spread moves a duration by up to so many percent, either way, so that subjects of one interval do not come all at once.
func spread(percent uint8) func(time.Duration) time.Duration {
	return func(d time.Duration) time.Duration {
		return d + time.Duration(float64(d)*float64(percent)/100*(2*rand.Float64()-1))
	}
}

// announcer is what the outbox calls before there are reconcilers to ask. The zero value does nothing yet.
type announcer struct {
	mu sync.Mutex
	do func()
}

func (a *announcer) set(do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.do = do
}

func (a *announcer) again() {
	a.mu.Lock()
	do := a.do
	a.mu.Unlock()
	if do != nil {
		do()
	}
}
