package config

import (
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Manager are the options of the manager that a configuration asks for.
func (c *Config) Manager() (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, sourcev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return ctrl.Options{}, fmt.Errorf("make scheme: %w", err)
		}
	}
	options := c.Settings.Manager()
	options.Scheme = scheme
	options.Cache.ByObject = map[client.Object]cache.ByObject{
		&sourcev1.GitRepository{}: {Label: c.Selector},
		&sourcev1.HelmChart{}:     {Label: c.Selector},
	}
	return options, nil
}
