package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeGo stands in for the Go tool: it notes each build in a file, and makes the
// programs unless one of the packages is the one that is broken.
const fakeGo = `#!/bin/sh
case "$*" in
"list -m"*) printf 'k8s.io/kubernetes v1.36.3\nhelm.sh/helm/v3 v3.2.1\nsigs.k8s.io/kwok v0.8.0\n' ;;
"list -deps"*) printf 'go: downloading example.org/Module v1.0.0\n' >&2; echo example.org/a; echo example.org/b ;;
"build "*)
	shift
	packages=
	while [ $# -gt 0 ]; do
		case "$1" in
		-o) out=$2; shift ;;
		-ldflags) shift ;;
		-*) ;;
		*) packages="$packages $1" ;;
		esac
		shift
	done
	echo "$packages" >>%[1]q
	echo example.org/a >&2
	for p in $packages; do
		case "$p" in *%[2]s) echo does not compile >&2; exit 1 ;; esac
		p=${p%%/v2}
		echo program >"$out${p##*/}"
	done ;;
esac
`

// useFakeGo returns a function that reads which packages were built, a line for
// each run of go build, since the last call.
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
		return slices.Collect(strings.Lines(string(data)))
	}
}

func TestControlPlaneIsBuiltOnce(t *testing.T) {
	t.Setenv("SLUICE_CACHE", t.TempDir())
	built := useFakeGo(t, "nothing")
	var callers sync.WaitGroup
	for range 3 {
		callers.Go(func() {
			if _, err := ControlPlane(t.Context(), io.Discard); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if got := built(); len(got) != 1 || len(strings.Fields(got[0])) != 8 {
		t.Errorf("three callers: want one build of 8 programs, got %q", got)
	}
	dir, err := ControlPlane(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := built(); len(got) != 0 {
		t.Errorf("built again: %v", got)
	}
	for _, p := range programs() {
		if _, err := os.Stat(filepath.Join(dir, p.name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, ".unfinished")); err == nil {
		t.Error("left behind: .unfinished")
	}
}

func TestWhatIsMissingIsBuilt(t *testing.T) {
	t.Setenv("SLUICE_CACHE", t.TempDir())
	built := useFakeGo(t, "nothing")
	dir, err := ControlPlane(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	built()
	if err := os.Remove(filepath.Join(dir, "kwok")); err != nil {
		t.Fatal(err)
	}
	if _, err := ControlPlane(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	if got := built(); len(got) != 1 || strings.TrimSpace(got[0]) != "sigs.k8s.io/kwok/cmd/kwok" {
		t.Errorf("the second run built %q, want what was missing", got)
	}
}

func TestBrokenBuildIsTakenUpAgain(t *testing.T) {
	t.Setenv("SLUICE_CACHE", t.TempDir())
	useFakeGo(t, "cmd/kwok")
	var out strings.Builder
	dir, err := ControlPlane(t.Context(), &out)
	if err == nil || !strings.Contains(err.Error(), "does not compile") {
		t.Fatalf("the error does not give the reason: %v", err)
	}
	if left := missing(dir); len(left) != 8 {
		t.Errorf("a build that failed left programs under their names, of 8 only %d are missing", len(left))
	}
	built := useFakeGo(t, "nothing")
	if _, err := ControlPlane(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got := built(); len(got) != 1 || len(strings.Fields(got[0])) != 8 {
		t.Errorf("the second run built %q, want all", got)
	}
}

func TestControlPlaneCanBeInterrupted(t *testing.T) {
	t.Setenv("SLUICE_CACHE", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ControlPlane(ctx, io.Discard); err == nil {
		t.Error("a build went on after its context ended")
	}
}

func TestPrepareSaysFirstHowLongItTakes(t *testing.T) {
	t.Setenv("SLUICE_CACHE", t.TempDir())
	built := useFakeGo(t, "nothing")
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "e2e", "controlplane"), os.DirFS("../controlplane")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "go.work"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	var out strings.Builder
	if err := Prepare(t.Context(), Goal{Name: "demo", Cluster: true, Then: "the demo", Takes: 30e9}, &out); err != nil {
		t.Fatal(err)
	}
	got := slices.Collect(strings.Lines(out.String()))
	if len(got) == 0 || !strings.HasPrefix(got[0], "make demo: about 30 seconds on ") || !strings.Contains(got[0], "4 packages to compile; then the demo, about 30 seconds") {
		t.Errorf("the first line does not say how long it takes:\n%s", out.String())
	}
	if runs := built(); len(runs) != 2 || !strings.Contains(runs[0], "./sync-controller") || !strings.Contains(runs[1], "kube-apiserver") {
		t.Errorf("want the controllers, then the control plane, got %q", runs)
	}
}
