package controller

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/measure"
	"github.com/sluice-gitops/sluice/render-controller/internal/worker"
)

// register has all that this process measures scraped. cached lists the Renders.
func register(metrics *measure.Metrics, options *Options, pool *worker.Pool, cached client.Reader) error {
	return process.Register(append(metrics.Collectors(),
		&measure.State{Trees: options.Trees.Usage, Workers: pool.Workers, Stored: options.Store.Size},
		&process.Readiness{Reader: cached, Kinds: map[string]func() client.ObjectList{
			v1alpha1.RenderKind: func() client.ObjectList { return &v1alpha1.RenderList{} },
		}},
	)...)
}
