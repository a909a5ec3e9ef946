// Command notify-controller turns events into notifications: see README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	runtimeclient "github.com/fluxcd/pkg/runtime/client"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/spf13/pflag"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/notify-controller/internal/config"
	"github.com/sluice-gitops/sluice/notify-controller/internal/controller"
	"github.com/sluice-gitops/sluice/notify-controller/internal/ingest"
)

func main() {
	cfg, err := config.Parse(os.Args[1:], os.Getenv)
	if err == nil {
		err = run(ctrl.SetupSignalHandler(), cfg)
	}
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "notify-controller:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg config.Config) error {
	log := logger.NewLogger(cfg.Log)
	logger.SetLogger(log)
	mgr, err := ctrl.NewManager(runtimeclient.GetConfigOrDie(cfg.Client), cfg.Manager())
	if err != nil {
		return fmt.Errorf("create manager: %w", err)
	}
	messages, err := controller.OpenBus(ctx, mgr, cfg.Bus())
	if err != nil {
		return err
	}
	defer messages.Close()
	events := ingest.New(cfg.EventsAddr, messages, cfg.RateLimitInterval, clock.RealClock{}, log.WithName("ingest"))
	if err := mgr.Add(events); err != nil {
		return fmt.Errorf("add event endpoint: %w", err)
	}
	err = controller.Setup(mgr, controller.Options{
		Bus: messages, Namespace: cfg.Namespace, Parallel: cfg.Concurrent, Clock: clock.RealClock{},
		Refs: access.Checker{NoCrossNamespace: cfg.NoCrossNamespaceRefs},
	})
	if err != nil {
		return err
	}
	return mgr.Start(ctx)
}
