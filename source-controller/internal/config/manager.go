package config

import (
	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/pprof"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// Manager are the options of the manager that a configuration asks for.
func (c Config) Manager() (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, sourcev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return ctrl.Options{}, err
		}
	}
	o := ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       server.Options{BindAddress: c.MetricsAddr, ExtraHandlers: pprof.GetHandlers()},
		HealthProbeBindAddress:        c.HealthAddr,
		LeaderElection:                c.LeaderElection.Enable,
		LeaderElectionReleaseOnCancel: c.LeaderElection.ReleaseOnCancel,
		LeaseDuration:                 &c.LeaderElection.LeaseDuration,
		RenewDeadline:                 &c.LeaderElection.RenewDeadline,
		RetryPeriod:                   &c.LeaderElection.RetryPeriod,
		LeaderElectionID:              c.leaderElectionID(),
		LeaderElectionNamespace:       c.Namespace,
		// Secrets are read when they are needed and kept nowhere.
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&sourcev1.GitRepository{}: {Label: c.Selector},
			&sourcev1.HelmChart{}:     {Label: c.Selector},
		}},
	}
	if !c.WatchAllNamespaces {
		o.Cache.DefaultNamespaces = map[string]cache.Config{c.Namespace: {}}
	}
	return o, nil
}

// leaderElectionID is another one for each shard.
func (c Config) leaderElectionID() string {
	if c.SelectorText == "" {
		return leaderelection.GenerateID(Name + "-leader-election")
	}
	return leaderelection.GenerateID(Name+"-leader-election", c.SelectorText)
}
