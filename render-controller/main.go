// Command render-controller turns source artifacts into sealed renderings: see README.md.
package main

import (
	"context"
	"os"

	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/render-controller/internal/config"
	"github.com/sluice-gitops/sluice/render-controller/internal/controller"
	"github.com/sluice-gitops/sluice/render-controller/internal/render"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "worker" {
		process.Main(config.Name, func(context.Context, []string, func(string) string) error { return render.Serve() })
		return
	}
	process.Main(config.Name, run)
}

func run(ctx context.Context, args []string, getenv func(string) string) error {
	cfg, err := config.Parse(args, getenv)
	if err != nil {
		return err
	}
	if err := cfg.Interval.SetGlobalJitter(nil); err != nil {
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
	command, err := controller.WorkerCommand()
	if err != nil {
		return err
	}
	release, err := controller.Assemble(ctx, mgr, &cfg, messages, command)
	if err != nil {
		return err
	}
	defer release()
	return mgr.Start(ctx)
}
