// Package local is what make up, make down and make demo do.
package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluice-gitops/sluice/e2e/build"
)

// root is the root of the repository: the folder with go.work, here or above.
func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.work here or above: run this inside the repository")
		}
		dir = parent
	}
}

// Assets builds the control plane's programs if they are not there, and prints their folder.
func Assets(ctx context.Context) error {
	dir, err := build.ControlPlane(ctx, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Println(dir)
	return nil
}
