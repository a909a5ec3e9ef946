package config

import (
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/pprof"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// shutdownTimeout is how long attempts under way may take to end.
const shutdownTimeout = 30 * time.Second

// WatchLabel on a Secret or ConfigMap has what refers to it rendered again when it changes.
const (
	WatchLabel = "reconcile.fluxcd.io/watch"
	watchValue = "Enabled"
)

// Manager returns the options of the manager that the configuration asks for.
func (c *Config) Manager(scheme *runtime.Scheme) ctrl.Options {
	grace := shutdownTimeout
	watched := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{WatchLabel: watchValue})}
	subjects := cache.ByObject{Label: c.Selector}
	options := ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       server.Options{BindAddress: c.MetricsAddr, ExtraHandlers: pprof.GetHandlers()},
		HealthProbeBindAddress:        c.HealthAddr,
		GracefulShutdownTimeout:       &grace,
		LeaderElection:                c.LeaderElection.Enable,
		LeaderElectionID:              leaderelection.GenerateID(Name+"-leader-election", c.shard()...),
		LeaderElectionNamespace:       c.Namespace,
		LeaderElectionReleaseOnCancel: c.LeaderElection.ReleaseOnCancel,
		LeaseDuration:                 &c.LeaderElection.LeaseDuration,
		RenewDeadline:                 &c.LeaderElection.RenewDeadline,
		RetryPeriod:                   &c.LeaderElection.RetryPeriod,
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&kustomizev1.Kustomization{}: subjects,
			&helmv2.HelmRelease{}:        subjects,
			&corev1.Secret{}:             watched,
			&corev1.ConfigMap{}:          watched,
		}},
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
func (c *Config) shard() []string {
	if c.Selector.Empty() {
		return nil
	}
	return []string{c.Selector.String()}
}
