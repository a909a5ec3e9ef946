package controller

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/fluxcd/pkg/runtime/metrics"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/sync-controller/internal/config"
	"github.com/sluice-gitops/sluice/sync-controller/internal/identity"
	"github.com/sluice-gitops/sluice/sync-controller/internal/store"
)

// Setup registers everything that runs in the manager. messages is nil when notifications are off.
func Setup(ctx context.Context, mgr manager.Manager, cfg *config.Config, kept *store.Store, messages bus.Bus) error {
	keys, err := identity.Ensure(ctx, mgr.GetClient(), cfg.Namespace)
	if err != nil {
		return err
	}
	var again func()
	outbox, err := cfg.Outbox(mgr, messages, func() { again() })
	if err != nil {
		return err
	}
	again, err = Build(ctx, mgr, Settings{
		Store: kept, Identities: keys.Identities, FingerprintKey: keys.Fingerprint, Announcer: outbox,
		Access:    access.Checker{NoCrossNamespace: cfg.NoCrossNamespaceRefs, DefaultServiceAccount: cfg.DefaultServiceAccount},
		AllowFlux: cfg.AllowFlux, Namespace: cfg.Namespace, Dependency: cfg.RequeueDependency, Concurrent: cfg.Concurrent,
		MinRetry: cfg.MinRetryDelay, MaxRetry: cfg.MaxRetryDelay, Selector: cfg.Selector,
		Jitter: spread(cfg.Jitter), Metrics: metrics.MustMakeRecorder(), Register: process.Register, Now: time.Now,
	})
	if err != nil {
		return err
	}
	return mgr.AddReadyzCheck("ping", healthz.Ping)
}

// spread lengthens a duration by up to so many percent, so that subjects of one interval do not come all at once. A shorter
// one would only be waited out in two parts.
func spread(percent uint8) func(time.Duration) time.Duration {
	return func(d time.Duration) time.Duration {
		return d + time.Duration(float64(d)*float64(percent)/100*rand.Float64())
	}
}
