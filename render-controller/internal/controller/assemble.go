package controller

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/fileserver"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/config"
	"github.com/sluice-gitops/sluice/render-controller/internal/measure"
	"github.com/sluice-gitops/sluice/render-controller/internal/render"
	"github.com/sluice-gitops/sluice/render-controller/internal/seal"
	"github.com/sluice-gitops/sluice/render-controller/internal/store"
	"github.com/sluice-gitops/sluice/render-controller/internal/tree"
	"github.com/sluice-gitops/sluice/render-controller/internal/worker"
)

// Assemble opens what the reconcilers work with, and adds it all to the manager. messages is nil when notifications are off.
// The caller calls release when the manager has stopped.
func Assemble(ctx context.Context, mgr ctrl.Manager, cfg *config.Config, messages bus.Bus, workerCommand []string) (release func(), err error) {
	folder := filepath.Join(cfg.StoragePath, "trees")
	trees, err := tree.Open(tree.Options{Dir: folder})
	if err != nil {
		return nil, err
	}
	files, err := store.Open(filepath.Join(cfg.StoragePath, "renderings"))
	if err != nil {
		return nil, err
	}
	metrics := measure.New()
	pool := worker.NewPool(worker.Options{
		Command: workerCommand, Folder: folder, Size: cfg.Concurrent, Deadline: cfg.BuildTimeout, MemoryLimit: cfg.BuildMemory,
		Confined:  func(c worker.Confinement) { mgr.GetLogger().Info("workers are confined", "by", c.String()) },
		Restarted: func(cause worker.Cause) { metrics.Lost(string(cause)) },
	})
	release = func() { pool.Close(); _ = files.Close() }
	options := &Options{
		Trees: trees, Renderer: &render.Renderer{Pool: pool}, Store: files,
		Access:                  access.Checker{NoCrossNamespace: cfg.NoCrossNamespaceRefs},
		RefuseExternalArtifacts: !cfg.ExternalArtifact,
		Advertised:              cfg.StorageAdvAddr, Namespace: cfg.Namespace, WarnOnMAC: cfg.WarnOnMAC,
		Concurrent: cfg.Concurrent, RetryArtifact: cfg.RequeueDependency, Metrics: metrics,
	}
	if err := register(metrics, options, pool, mgr.GetClient()); err != nil {
		release()
		return nil, err
	}
	if err := add(ctx, mgr, cfg, messages, options); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// add adds the outbox, the reconcilers and the server to the manager.
func add(ctx context.Context, mgr ctrl.Manager, cfg *config.Config, messages bus.Bus, options *Options) error {
	live, err := client.New(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("live client: %w", err)
	}
	options.Seals = &seal.Store{Client: live, Namespace: cfg.Namespace, Clock: clock.RealClock{}}
	options.Outbox, err = cfg.Outbox(mgr, messages, func() { reannounce(ctx, mgr.GetClient(), options.Outbox) })
	if err != nil {
		return err
	}
	if err := Setup(ctx, mgr, options); err != nil {
		return err
	}
	server := &fileserver.Server{Files: "renderings", Address: cfg.StorageAddr, Open: options.Store.Read}
	if err := mgr.Add(server); err != nil {
		return fmt.Errorf("add server of renderings: %w", err)
	}
	return mgr.AddReadyzCheck("storage", server.Ready)
}

// WorkerCommand is how this binary is started as a worker.
func WorkerCommand() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	return []string{self, "worker"}, nil
}

// reannounce tells the bus of every Render's verdict.
func reannounce(ctx context.Context, reader client.Reader, outbox announcer) {
	var records v1alpha1.RenderList
	if err := reader.List(ctx, &records); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "cannot list the Renders to announce")
		return
	}
	for i := range records.Items {
		announce(outbox, &records.Items[i])
	}
}
