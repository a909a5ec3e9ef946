// Command source-controller fetches sources and serves them as artifacts: see README.md.
package main

import (
	"context"

	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/source-controller/internal/config"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller"
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
	if err := controller.Setup(ctx, mgr, &cfg, messages); err != nil {
		return err
	}
	return mgr.Start(ctx)
}
