package config

import (
	"time"

	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/pprof"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// shutdownTimeout is how long sends under way may take to finish; a Pod's grace period must be longer.
const shutdownTimeout = 40 * time.Second

// Manager returns the options of the manager that the configuration asks for.
func (c Config) Manager() ctrl.Options {
	grace := shutdownTimeout
	options := ctrl.Options{
		Metrics:                       server.Options{BindAddress: c.MetricsAddr, ExtraHandlers: pprof.GetHandlers()},
		HealthProbeBindAddress:        c.HealthAddr,
		GracefulShutdownTimeout:       &grace,
		LeaderElection:                c.LeaderElection.Enable,
		LeaderElectionID:              leaderelection.GenerateID("notify-controller-leader-election", c.shard()...),
		LeaderElectionNamespace:       c.Namespace,
		LeaderElectionReleaseOnCancel: c.LeaderElection.ReleaseOnCancel,
		LeaseDuration:                 &c.LeaderElection.LeaseDuration,
		RenewDeadline:                 &c.LeaderElection.RenewDeadline,
		RetryPeriod:                   &c.LeaderElection.RetryPeriod,
		Cache:                         cache.Options{DefaultLabelSelector: c.Selector},
		Client: client.Options{Cache: &client.CacheOptions{
			DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}},
		}},
	}
	if !c.WatchAllNamespaces {
		options.Cache.DefaultNamespaces = map[string]cache.Config{c.Namespace: {}}
	}
	return options
}

// shard is empty unless a selector makes this instance one of several.
func (c Config) shard() []string {
	if c.Selector.Empty() {
		return nil
	}
	return []string{c.Selector.String()}
}
