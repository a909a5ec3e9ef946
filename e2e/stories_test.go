package main

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-gitops/sluice/e2e/story"
	"github.com/sluice-gitops/sluice/e2e/world"
)

// TestStories plays every session in testdata in one world, the controllers as make build left them in bin/. With -artifacts
// the world's logs and files are kept.
func TestStories(t *testing.T) {
	// Stories run in parallel, after this function has returned: what they need ends in Cleanup.
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	w, err := world.Start(ctx, world.Options{Dir: filepath.Join(t.ArtifactDir(), "world"), Root: "..", Out: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	session := &story.Session{World: w, Out: t.Output()}
	testscript.Run(t, session.Params(ctx, files...))
}
