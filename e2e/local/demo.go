package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-gitops/sluice/e2e/story"
	"github.com/sluice-gitops/sluice/e2e/world"
)

// Demo plays testdata/demo.txtar in a world of its own, which is gone afterwards.
func Demo(ctx context.Context) error {
	begin := time.Now()
	root, err := root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sluice-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w, err := world.Start(ctx, world.Options{Dir: dir, Root: root, Out: os.Stdout})
	if err != nil {
		return err
	}
	defer w.Stop()
	session := &story.Session{World: w, Out: os.Stdout}
	if err := session.Play(ctx, filepath.Join(root, "e2e", "testdata", "demo.txtar")); err != nil {
		return err
	}
	fmt.Printf("\n── all of it in %.0f seconds; nothing is left running\n", time.Since(begin).Seconds())
	return nil
}
