// Command notify-controller turns events into notifications: see README.md.
package main

import (
	"context"
	"fmt"

	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/notify-controller/internal/config"
	"github.com/sluice-gitops/sluice/notify-controller/internal/controller"
	"github.com/sluice-gitops/sluice/notify-controller/internal/ingest"
	"github.com/sluice-gitops/sluice/notify-controller/internal/measure"
)

func main() { process.Main(config.Name, run) }

func run(ctx context.Context, args []string, getenv func(string) string) error {
	cfg, err := config.Parse(args, getenv)
	if err != nil {
		return err
	}
	mgr, err := cfg.NewManager(cfg.Manager())
	if err != nil {
		return err
	}
	messages, disconnect, err := cfg.Connect(ctx, mgr)
	if err != nil {
		return err
	}
	defer disconnect()
	if messages, err = controller.Bus(mgr, messages); err != nil {
		return err
	}
	measured := measure.New()
	events := ingest.New(ingest.Options{
		Addr: cfg.EventsAddr, Bus: messages, Interval: cfg.RateLimitInterval, Clock: clock.RealClock{},
		Metrics: measured, Log: mgr.GetLogger().WithName("ingest"),
	})
	if err := mgr.Add(events); err != nil {
		return fmt.Errorf("add event endpoint: %w", err)
	}
	err = controller.Setup(mgr, controller.Options{
		Bus: messages, Namespace: cfg.Namespace, Parallel: cfg.Concurrent, Metrics: measured, Clock: clock.RealClock{},
		Refs: access.Checker{NoCrossNamespace: cfg.NoCrossNamespaceRefs},
	})
	if err != nil {
		return err
	}
	return mgr.Start(ctx)
}
