package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/sluice-gitops/sluice/e2e/bench"
	"github.com/sluice-gitops/sluice/e2e/world"
)

const (
	benchApps    = 100
	maxBenchApps = 2000
	benchIdle    = time.Minute
)

// Bench measures Sluice in a world of its own and prints tables. $SLUICE_BENCH_APPS is the size of the fleet. The world's
// files, logs included, are kept only if something failed.
func Bench(ctx context.Context) error {
	apps, err := fleetSize(os.Getenv("SLUICE_BENCH_APPS"))
	if err != nil {
		return err
	}
	root, err := root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return err
	}
	if err := benchIn(ctx, dir, root, apps); err != nil {
		return fmt.Errorf("%w\nlogs are kept in %s", err, filepath.Join(dir, "stack", "logs"))
	}
	return os.RemoveAll(dir)
}

func benchIn(ctx context.Context, dir, root string, apps int) error {
	w, err := world.Start(ctx, world.Options{Dir: dir, Root: root, Out: os.Stdout, Audit: true})
	if err != nil {
		return err
	}
	defer w.Stop()
	report, err := bench.Run(ctx, bench.Options{World: w, Apps: apps, Idle: benchIdle, Out: os.Stdout})
	if report != nil {
		err = errors.Join(err, report.Print(os.Stdout))
	}
	return err
}

// fleetSize reads $SLUICE_BENCH_APPS.
func fleetSize(text string) (int, error) {
	if text == "" {
		return benchApps, nil
	}
	apps, err := strconv.Atoi(text)
	if err != nil || apps < 1 || apps > maxBenchApps {
		return 0, fmt.Errorf("SLUICE_BENCH_APPS is %q: set it to a number from 1 to %d", text, maxBenchApps)
	}
	return apps, nil
}
