package config

import (
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/process"
)

// Manager are the options of the manager that a configuration asks for.
func (c *Config) Manager() (ctrl.Options, error) {
	scheme, err := process.Scheme(sourcev1.AddToScheme)
	if err != nil {
		return ctrl.Options{}, err
	}
	options := c.Settings.Manager()
	options.Scheme = scheme
	options.Cache.ByObject = map[client.Object]cache.ByObject{
		&sourcev1.GitRepository{}:  {Label: c.Selector},
		&sourcev1.OCIRepository{}:  {Label: c.Selector},
		&sourcev1.HelmRepository{}: {Label: c.Selector},
		&sourcev1.HelmChart{}:      {Label: c.Selector},
		&sourcev1.Bucket{}:         {Label: c.Selector},
	}
	return options, nil
}
