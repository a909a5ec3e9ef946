// Command e2e runs Sluice on a local control plane: make demo, make up, make down, make bench, make assets. It also packs
// images: make images.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-gitops/sluice/e2e/local"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	commands := map[string]func(context.Context) error{
		"assets": local.Assets,
		"bench":  local.Bench,
		"demo":   local.Demo,
		"down":   local.Down,
		"images": local.Images,
		"serve":  local.Serve,
		"up":     local.Up,
	}
	if len(args) != 1 || commands[args[0]] == nil {
		return fmt.Errorf("usage: e2e assets|bench|demo|down|images|up (see make help)")
	}
	return commands[args[0]](ctx)
}
