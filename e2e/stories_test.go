package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-gitops/sluice/e2e/cluster"
	"github.com/sluice-gitops/sluice/e2e/story"
	"github.com/sluice-gitops/sluice/e2e/world"
)

// TestStories plays every session in testdata in one world, the controllers as make build left them in bin/. With -artifacts
// the world's logs and files are kept.
func TestStories(t *testing.T) {
	t.Parallel()
	play(t, installation{stories: "testdata/*.txtar"})
}

// TestNarrow plays those of testdata/narrow where the chart grants as little as it can.
func TestNarrow(t *testing.T) {
	t.Parallel()
	play(t, installation{stories: "testdata/narrow/*.txtar", values: []string{
		"watchAllNamespaces=false", "noCrossNamespaceRefs=true", "sync.clusterAdmin=false", "defaultServiceAccount=deployer",
		"source.replicas=2", "render.replicas=2", "sync.replicas=2", "notify.replicas=2",
	}})
}

// TestTenancy plays those of testdata/tenancy where most namespaces' Secrets are out of reach.
func TestTenancy(t *testing.T) {
	t.Parallel()
	play(t, installation{
		stories: "testdata/tenancy/*.txtar", values: []string{"tenancy.namespaces={default}"}, refuses: []string{"get secrets"},
	})
}

// installation is a world to play stories in.
type installation struct {
	stories string   // which files
	values  []string // for the chart
	refuses []string // what the values are there to keep from controllers: verb and resource
}

// play starts a world and plays its stories in it side by side.
func play(t *testing.T, in installation) {
	t.Helper()
	files, err := filepath.Glob(in.stories)
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	// Stories run in parallel, after this function has returned: what they need ends in Cleanup.
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	w, err := world.Start(ctx, world.Options{
		Dir: filepath.Join(t.ArtifactDir(), "world"), Root: "..", Values: in.values, Audit: true, Out: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	t.Cleanup(func() {
		checkRights(t, w.Cluster, in.refuses)
		if t.Failed() {
			t.Log(account(w))
		}
	})
	session := &story.Session{World: w, Out: t.Output()}
	testscript.Run(t, session.Params(ctx, files...))
}

// accountLines is how much of each log an account has.
const accountLines = 40

// account is what a world looks like at its end: what its objects say, and the end of each log. The rest is gone with it
// without -artifacts.
func account(w *world.World) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	objects, err := w.Cluster.Kubectl(ctx, "get", "gitrepositories,ocirepositories,helmrepositories,helmcharts,buckets,externalartifacts,kustomizations,helmreleases,renders,syncs", "--all-namespaces")
	text := fmt.Sprintf("the objects at the end: %v\n%s\n", err, objects)
	logs, err := filepath.Glob(filepath.Join(w.Stack.Logs(), "*.log"))
	for _, log := range logs {
		content, readErr := os.ReadFile(log)
		err = errors.Join(err, readErr)
		lines := strings.Split(strings.TrimSpace(string(content)), "\n")
		lines = lines[max(0, len(lines)-accountLines):]
		text += fmt.Sprintf("the end of %s:\n%s\n", filepath.Base(log), strings.Join(lines, "\n"))
	}
	if err != nil {
		text += err.Error()
	}
	return text
}

// checkRights fails if the chart does not grant what a controller needs: if the API server forbade what a controller asked
// for itself, not as somebody else. What the installation is there to refuse does not count.
func checkRights(t *testing.T, c *cluster.Cluster, refuses []string) {
	t.Helper()
	requests, err := c.Audit()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range requests {
		name, ours := strings.CutPrefix(r.User, "system:serviceaccount:flux-system:")
		if !ours || slices.Contains(refuses, r.Verb+" "+r.Resource) {
			continue
		}
		what := strings.Join([]string{name, r.Verb, r.Group, r.Resource, r.Subresource}, " ")
		if r.Code == http.StatusForbidden && !r.Ending && r.As == "" && !seen[what] {
			seen[what] = true
			t.Errorf("the chart does not grant %s: %s", what, r.URI)
		}
	}
}
