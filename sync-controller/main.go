// Command sync-controller applies what render-controller rendered, and keeps it applied: see README.md.
package main

import (
	"context"

	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/sync-controller/internal/config"
	"github.com/sluice-gitops/sluice/sync-controller/internal/controller"
	"github.com/sluice-gitops/sluice/sync-controller/internal/store"
)

func main() { process.Main(config.Name, run) }

func run(ctx context.Context, args []string, getenv func(string) string) error {
	cfg, err := config.Parse(args, getenv)
	if err != nil {
		return err
	}
	options, err := cfg.Manager()
	if err != nil {
		return err
	}
	mgr, err := cfg.NewManager(options)
	if err != nil {
		return err
	}
	messages, disconnect, err := cfg.Connect(ctx, mgr)
	if err != nil {
		return err
	}
	defer disconnect()
	kept, err := store.Open(cfg.StoragePath)
	if err != nil {
		return err
	}
	defer kept.Close() //nolint:errcheck // nothing is left to write
	if err := controller.Setup(ctx, mgr, &cfg, kept, messages); err != nil {
		return err
	}
	return mgr.Start(ctx)
}
