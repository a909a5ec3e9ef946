package process

import (
	"fmt"

	runtimeclient "github.com/fluxcd/pkg/runtime/client"
	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/fluxcd/pkg/runtime/pprof"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// Manager are the options of the manager that the settings ask for, for the controller to add its scheme and its caches to.
// Secrets and ConfigMaps are read when they are needed, and kept nowhere. Each selector elects a leader of its own.
func (s *Settings) Manager() ctrl.Options {
	options := ctrl.Options{
		Metrics:                       server.Options{BindAddress: s.MetricsAddr, ExtraHandlers: pprof.GetHandlers()},
		HealthProbeBindAddress:        s.HealthAddr,
		LeaderElection:                s.LeaderElection.Enable,
		LeaderElectionID:              leaderelection.GenerateID(s.Name+"-leader-election", s.shard()...),
		LeaderElectionNamespace:       s.Namespace,
		LeaderElectionReleaseOnCancel: s.LeaderElection.ReleaseOnCancel,
		LeaseDuration:                 &s.LeaderElection.LeaseDuration,
		RenewDeadline:                 &s.LeaderElection.RenewDeadline,
		RetryPeriod:                   &s.LeaderElection.RetryPeriod,
		Client: client.Options{Cache: &client.CacheOptions{
			DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}},
		}},
	}
	if !s.WatchAllNamespaces {
		options.Cache.DefaultNamespaces = map[string]cache.Config{s.Namespace: {}}
	}
	return options
}

// shard is empty unless a selector makes this instance one of several.
func (s *Settings) shard() []string {
	if s.Selector.Empty() {
		return nil
	}
	return []string{s.Selector.String()}
}

// NewManager sets up logging, and makes a manager with a probe that says that the process lives. It finds the API server as
// kubectl does, or from within a Pod.
func (s *Settings) NewManager(options ctrl.Options) (manager.Manager, error) {
	logger.SetLogger(quietProbes(logger.NewLogger(s.Log)))
	config := runtimeclient.GetConfigOrDie(s.Client)
	config.WarningHandlerWithContext = Warnings{}
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return nil, fmt.Errorf("create manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("add health probe: %w", err)
	}
	return mgr, nil
}
