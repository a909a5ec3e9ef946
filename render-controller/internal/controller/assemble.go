package controller

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/config"
	"github.com/sluice-gitops/sluice/render-controller/internal/render"
	"github.com/sluice-gitops/sluice/render-controller/internal/seal"
	"github.com/sluice-gitops/sluice/render-controller/internal/store"
	"github.com/sluice-gitops/sluice/render-controller/internal/tree"
	"github.com/sluice-gitops/sluice/render-controller/internal/worker"
)

// Assemble opens what the reconcilers work with, and adds it all to the manager. The caller calls release when the manager
// has stopped.
func Assemble(ctx context.Context, mgr ctrl.Manager, cfg *config.Config, workerCommand []string) (release func(), err error) {
	folder := filepath.Join(cfg.StoragePath, "trees")
	trees, err := tree.Open(tree.Options{Dir: folder})
	if err != nil {
		return nil, err
	}
	files, err := store.Open(filepath.Join(cfg.StoragePath, "renderings"))
	if err != nil {
		return nil, err
	}
	pool := worker.NewPool(worker.Options{
		Command: workerCommand, Folder: folder, Size: cfg.Concurrent, Deadline: cfg.BuildTimeout, MemoryLimit: cfg.BuildMemory,
		Confined: func(c worker.Confinement) { mgr.GetLogger().Info("workers are confined", "by", c.String()) },
	})
	release = func() { pool.Close(); _ = files.Close() }
	outbox, closeBus, err := openOutbox(ctx, mgr, cfg)
	if err != nil {
		release()
		return nil, err
	}
	release = func() { pool.Close(); _ = files.Close(); closeBus() }
	live, err := client.New(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		release()
		return nil, fmt.Errorf("live client: %w", err)
	}
	builds, err := countBuilds()
	if err != nil {
		release()
		return nil, err
	}
	err = Setup(ctx, mgr, &Options{
		Trees: trees, Renderer: &render.Renderer{Pool: pool}, Store: files, Outbox: outbox, Builds: builds,
		Seals:      &seal.Store{Client: live, Namespace: cfg.Namespace, Clock: clock.RealClock{}},
		Access:     access.Checker{NoCrossNamespace: cfg.NoCrossNamespaceRefs},
		Advertised: cfg.StorageAdvAddr, Namespace: cfg.Namespace, WarnOnMAC: cfg.WarnOnMAC,
		Concurrent: cfg.Concurrent, RetryArtifact: cfg.RequeueDependency,
	})
	for _, add := range []func() error{
		func() error { return mgr.Add(&store.Server{Addr: cfg.StorageAddr, Store: files}) },
		func() error { return mgr.AddHealthzCheck("healthz", healthz.Ping) },
		func() error { return mgr.AddReadyzCheck("readyz", healthz.Ping) },
	} {
		if err == nil {
			err = add()
		}
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// WorkerCommand is how this binary is started as a worker.
func WorkerCommand() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	return []string{self, "worker"}, nil
}

// openOutbox returns the way to the bus, which is closed without --nats-url.
func openOutbox(ctx context.Context, mgr ctrl.Manager, cfg *config.Config) (*bus.Outbox, func(), error) {
	options := bus.OutboxOptions{Log: mgr.GetLogger().WithName("outbox")}
	if cfg.NATSURL == "" {
		outbox := bus.NewOutbox(nil, options)
		return outbox, func() {}, mgr.Add(outbox)
	}
	connection := cfg.Bus()
	connection.Log = mgr.GetLogger().WithName("nats")
	messages, err := bus.Connect(ctx, connection)
	if err != nil {
		return nil, nil, err
	}
	var outbox *bus.Outbox
	options.Reannounce = func() { reannounce(ctx, mgr.GetClient(), outbox) }
	options.Stuck = bus.Late(mgr.GetEventRecorderFor(config.Name), cfg.Namespace, config.Name) //nolint:staticcheck // core/v1 Events are what kubectl describe shows
	outbox = bus.NewOutbox(messages, options)
	for _, collector := range outbox.Collectors() {
		if err := metrics.Registry.Register(collector); err != nil {
			messages.Close()
			return nil, nil, fmt.Errorf("register metrics of the outbox: %w", err)
		}
	}
	return outbox, messages.Close, mgr.Add(outbox)
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
