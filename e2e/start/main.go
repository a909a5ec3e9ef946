// Command start says how long a make target will take, and builds what it needs.
// It is a program of its own, of standard library alone, because it has to say so
// before the rest is compiled.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluice-gitops/sluice/e2e/build"
)

// goals are the make targets that build. How long each takes after that was
// measured on two cores.
func goals() map[string]build.Goal {
	return map[string]build.Goal{
		"build": {Name: "build"},
		"demo":  {Name: "demo", Cluster: true, Then: "the demo", Takes: 25 * time.Second},
		"up":    {Name: "up", Cluster: true, Then: "the start", Takes: 10 * time.Second},
		"bench": {Name: "bench", Cluster: true, Then: "the measurements", Takes: 4 * time.Minute},
	}
}

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
	if len(args) != 1 || goals()[args[0]].Name == "" {
		return fmt.Errorf("usage: start build|demo|up|bench (see make help)")
	}
	return build.Prepare(ctx, goals()[args[0]], os.Stdout)
}
