package config

import (
	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// WatchLabel on a Secret or ConfigMap has what refers to it rendered again when it changes.
const (
	WatchLabel = "reconcile.fluxcd.io/watch"
	watchValue = "Enabled"
)

// Manager are the options of the manager that a configuration asks for.
func (c *Config) Manager() (ctrl.Options, error) {
	scheme, err := process.Scheme(sourcev1.AddToScheme, kustomizev1.AddToScheme, helmv2.AddToScheme, v1alpha1.AddToScheme)
	if err != nil {
		return ctrl.Options{}, err
	}
	options := c.Settings.Manager()
	options.Scheme = scheme
	watched := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{WatchLabel: watchValue})}
	if len(c.ConfigNamespaces) > 0 {
		watched.Namespaces = make(map[string]cache.Config, len(c.ConfigNamespaces))
		for _, namespace := range c.ConfigNamespaces {
			watched.Namespaces[namespace] = cache.Config{}
		}
	}
	subjects := cache.ByObject{Label: c.Selector}
	options.Cache.ByObject = map[client.Object]cache.ByObject{
		&kustomizev1.Kustomization{}: subjects,
		&helmv2.HelmRelease{}:        subjects,
		&corev1.Secret{}:             watched,
		&corev1.ConfigMap{}:          watched,
	}
	return options, nil
}
