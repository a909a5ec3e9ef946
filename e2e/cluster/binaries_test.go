package cluster_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-gitops/sluice/e2e/cluster"
)

// fakeGo stands in for the Go tool: it notes each build in a file, and makes the
// output unless the package is the one that is broken.
const fakeGo = `#!/bin/sh
case "$1" in
list) echo v1.2.3 ;;
build)
	out=
	while [ $# -gt 1 ]; do
		if [ "$1" = -o ]; then out=$2; fi
		shift
	done
	echo "$1" >>%[1]q
	case "$1" in *%[2]s) echo does not compile >&2; exit 1 ;; esac
	echo program >"$out" ;;
esac
`

// useFakeGo returns a function that reads which packages were built since the
// last call.
func useFakeGo(t *testing.T, broken string) (built func() []string) {
	t.Helper()
	bin := t.TempDir()
	notes := filepath.Join(bin, "notes")
	script := fmt.Sprintf(fakeGo, notes, broken)
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return func() []string {
		data, err := os.ReadFile(notes)
		if err != nil {
			return nil
		}
		if err := os.Remove(notes); err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(data))
	}
}

func TestBinariesAreBuiltOnce(t *testing.T) {
	t.Setenv("SLUICE_CACHE", t.TempDir())
	built := useFakeGo(t, "nothing")
	group, ctx := errgroup.WithContext(t.Context())
	for range 3 {
		group.Go(func() error {
			_, err := cluster.Binaries(ctx, io.Discard)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := built(); len(got) != 8 {
		t.Errorf("three callers built %d programs, want 8 in all: %v", len(got), got)
	}
	dir, err := cluster.Binaries(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := built(); len(got) != 0 {
		t.Errorf("built again: %v", got)
	}
	unfinished, err := filepath.Glob(filepath.Join(dir, ".*.unfinished"))
	if err != nil || len(unfinished) > 0 {
		t.Errorf("left behind: %v, %v", unfinished, err)
	}
}

func TestBrokenBuildIsTakenUpAgain(t *testing.T) {
	t.Setenv("SLUICE_CACHE", t.TempDir())
	useFakeGo(t, "cmd/kwok")
	var out strings.Builder
	if _, err := cluster.Binaries(t.Context(), &out); err == nil || !strings.Contains(err.Error(), "build kwok") || !strings.Contains(err.Error(), "does not compile") {
		t.Fatalf("the error does not name the program and the reason: %v", err)
	}
	if !strings.Contains(out.String(), "6/8 helm built in") {
		t.Errorf("no progress:\n%s", out.String())
	}
	built := useFakeGo(t, "nothing")
	if _, err := cluster.Binaries(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(built(), " "); got != "sigs.k8s.io/kwok/cmd/kwok github.com/nats-io/nats-server/v2" {
		t.Errorf("the second run built %s, want what was missing", got)
	}
}

func TestBinariesCanBeInterrupted(t *testing.T) {
	t.Setenv("SLUICE_CACHE", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cluster.Binaries(ctx, io.Discard); err == nil {
		t.Error("a build went on after its context ended")
	}
}
