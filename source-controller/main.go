// Command source-controller fetches sources and serves them as artifacts: see README.md.
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
	"github.com/sluice-gitops/sluice/source-controller/internal/config"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller"
)

func main() {
	cfg, err := config.Parse(os.Args[1:], os.Getenv)
	if err == nil {
		err = run(ctrl.SetupSignalHandler(), cfg)
	}
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "source-controller:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg config.Config) error {
	logger.SetLogger(logger.NewLogger(cfg.Log))
	options, err := cfg.Manager()
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(runtimeclient.GetConfigOrDie(cfg.Client), options)
	if err != nil {
		return fmt.Errorf("create manager: %w", err)
	}
	var messages bus.Bus
	if cfg.NATSURL != "" {
		o := cfg.Bus()
		o.Log = mgr.GetLogger().WithName("bus")
		if messages, err = bus.Connect(ctx, o); err != nil {
			return fmt.Errorf("connect to NATS: %w", err)
		}
		defer messages.Close()
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find the name of this host: %w", err)
	}
	if err := controller.Setup(ctx, mgr, cfg, messages, host); err != nil {
		return err
	}
	return mgr.Start(ctx)
}
