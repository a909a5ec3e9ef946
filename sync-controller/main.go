// Command sync-controller applies what render-controller rendered, and keeps it applied: see README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	runtimeclient "github.com/fluxcd/pkg/runtime/client"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/sync-controller/internal/config"
	"github.com/sluice-gitops/sluice/sync-controller/internal/controller"
	"github.com/sluice-gitops/sluice/sync-controller/internal/keep"
)

func main() {
	cfg, err := config.Parse(os.Args[1:], os.Getenv)
	if err == nil {
		err = run(ctrl.SetupSignalHandler(), cfg)
	}
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "sync-controller:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg config.Config) error {
	logger.SetLogger(logger.NewLogger(cfg.Log))
	mgr, err := controller.NewManager(runtimeclient.GetConfigOrDie(cfg.Client), cfg)
	if err != nil {
		return err
	}
	store, err := keep.Open(cfg.StoragePath)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing is left to write
	var messages bus.Bus
	if cfg.NATSURL != "" {
		o := bus.Options{URL: cfg.NATSURL, Credentials: cfg.NATSCreds, Name: controller.Name, Log: mgr.GetLogger().WithName("bus")}
		if messages, err = bus.Connect(ctx, o); err != nil {
			return fmt.Errorf("connect to NATS: %w", err)
		}
		defer messages.Close()
	}
	if err := controller.Setup(ctx, mgr, cfg, store, messages); err != nil {
		return err
	}
	return mgr.Start(ctx)
}
