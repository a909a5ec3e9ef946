package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sluice-gitops/sluice/e2e/lock"
)

// keyLength is the number of hex digits of the cache key, enough that two
// versions of the pinned modules never share a folder.
const keyLength = 12

// ControlPlane returns the folder that holds etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, kubectl, kwok, helm and nats-server,
// building what is missing from the modules pinned in e2e/controlplane. That
// takes minutes the first time and milliseconds afterwards; progress goes to
// out. The folder is a valid KUBEBUILDER_ASSETS for envtest.
//
// It lies in $SLUICE_CACHE, else $XDG_CACHE_HOME/sluice, else ~/.cache/sluice.
// Any number of processes may call ControlPlane at the same time.
func ControlPlane(ctx context.Context, out io.Writer) (string, error) {
	source, dir, err := controlPlaneFolders()
	if err != nil {
		return "", err
	}
	if len(missing(dir)) == 0 {
		return dir, nil
	}
	return dir, buildControlPlane(ctx, NewLines(out), source, dir)
}

func controlPlaneFolders() (source, dir string, err error) {
	root, err := repository()
	if err != nil {
		return "", "", err
	}
	source = filepath.Join(root, "e2e", "controlplane")
	dir, err = cacheFolder(source)
	return source, dir, err
}

func buildControlPlane(ctx context.Context, lines *Lines, source, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create cache folder: %w", err)
	}
	unlock, err := lock.File(ctx, filepath.Join(dir, ".lock"), func() {
		lines.Printf("waiting for another process that builds the control plane …")
	})
	if err != nil {
		return fmt.Errorf("lock cache folder: %w", err)
	}
	defer unlock()
	return buildMissing(ctx, lines, source, dir)
}

// buildMissing builds into a hidden folder and moves the programs when all are
// whole, so that a build that is killed leaves no half-made program under its name.
func buildMissing(ctx context.Context, lines *Lines, source, dir string) error {
	todo := missing(dir)
	if len(todo) == 0 {
		return nil // another process built them while this one waited
	}
	unfinished := filepath.Join(dir, ".unfinished")
	if err := errors.Join(os.RemoveAll(unfinished), os.MkdirAll(unfinished, 0o755)); err != nil {
		return fmt.Errorf("create cache folder: %w", err)
	}
	defer os.RemoveAll(unfinished)
	t, err := controlPlane(source, unfinished, todo).stamped(ctx)
	if err != nil {
		return fmt.Errorf("build the control plane: %w", err)
	}
	lines.Printf("%s: %s into %s", t.name, strings.Join(names(todo), ", "), dir)
	if err := t.build(ctx, lines); err != nil {
		return err
	}
	for _, p := range todo {
		if err := os.Rename(filepath.Join(unfinished, p.name), filepath.Join(dir, p.name)); err != nil {
			return fmt.Errorf("build %s: %w", p.name, err)
		}
	}
	return nil
}

// missing lists the programs that dir does not hold, in build order.
func missing(dir string) []program {
	var out []program
	for _, p := range programs() {
		if info, err := os.Stat(filepath.Join(dir, p.name)); err != nil || !info.Mode().IsRegular() {
			out = append(out, p)
		}
	}
	return out
}

// repository finds the folder with go.work from the working directory upward.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the repository: no go.work in the working directory or above it; run this inside a checkout")
		}
		dir = parent
	}
}

// cacheFolder names the folder for exactly these pinned versions and this Go.
func cacheFolder(source string) (string, error) {
	hash := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "etcd/main.go"} {
		data, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", fmt.Errorf("read pinned versions: %w", err)
		}
		_, _ = fmt.Fprintf(hash, "%s %d\n%s", name, len(data), data) // a hash never fails
	}
	_, _ = fmt.Fprintln(hash, runtime.Version(), runtime.GOOS, runtime.GOARCH, compilerFlags())
	base, err := cacheBase()
	if err != nil {
		return "", err
	}
	return filepath.Join(base, "controlplane", hex.EncodeToString(hash.Sum(nil))[:keyLength]), nil
}

func cacheBase() (string, error) {
	if base := os.Getenv("SLUICE_CACHE"); base != "" {
		return filepath.Abs(base)
	}
	if cache := os.Getenv("XDG_CACHE_HOME"); cache != "" {
		return filepath.Join(cache, "sluice"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder (set SLUICE_CACHE to choose one): %w", err)
	}
	return filepath.Join(home, ".cache", "sluice"), nil
}
