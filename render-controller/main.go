// Command render-controller turns source artifacts into sealed renderings: see README.md.
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

	"github.com/sluice-gitops/sluice/render-controller/internal/config"
	"github.com/sluice-gitops/sluice/render-controller/internal/controller"
	"github.com/sluice-gitops/sluice/render-controller/internal/render"
)

func main() {
	var err error
	if len(os.Args) == 2 && os.Args[1] == "worker" {
		err = render.Serve()
	} else {
		err = run(ctrl.SetupSignalHandler(), os.Args[1:])
	}
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, config.Name+":", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	cfg, err := config.Parse(args, os.Getenv)
	if err != nil {
		return err
	}
	if err := cfg.Interval.SetGlobalJitter(nil); err != nil {
		return err
	}
	logger.SetLogger(logger.NewLogger(cfg.Log))
	scheme, err := controller.NewScheme()
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(runtimeclient.GetConfigOrDie(cfg.Client), cfg.Manager(scheme))
	if err != nil {
		return fmt.Errorf("create manager: %w", err)
	}
	command, err := controller.WorkerCommand()
	if err != nil {
		return err
	}
	release, err := controller.Assemble(ctx, mgr, &cfg, command)
	if err != nil {
		return err
	}
	defer release()
	return mgr.Start(ctx)
}
