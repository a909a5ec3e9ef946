package config

import (
	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/kinds"
)

// FluxLabel and FluxPart mark the Deployments that Flux's installation brings.
const (
	FluxLabel = "app.kubernetes.io/part-of"
	FluxPart  = "flux"
)

// Manager are the options of the manager that a configuration asks for. Of Deployments, only Flux's are of interest.
func (c *Config) Manager() (ctrl.Options, error) {
	scheme, err := process.Scheme(kustomizev1.AddToScheme, helmv2.AddToScheme, sourcev1.AddToScheme, v1alpha1.AddToScheme)
	if err != nil {
		return ctrl.Options{}, err
	}
	options := c.Settings.Manager()
	options.Scheme = scheme
	options.Cache.ByObject = map[client.Object]cache.ByObject{
		&appsv1.Deployment{}: {Label: labels.SelectorFromSet(labels.Set{FluxLabel: FluxPart})},
	}
	options.MapperProvider = kinds.NewMapper
	options.Client.Cache.DisableFor = append(options.Client.Cache.DisableFor, &corev1.ServiceAccount{})
	return options, nil
}
