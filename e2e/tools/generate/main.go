// Command generate writes what is derived from Go types: the deep copies of api/v1alpha1 and the CRDs of charts/sluice,
// Flux's from its published API modules and ours. Run it at the root of the repository: make generate.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const crdFolder = "charts/sluice/crds"

// apis are the packages whose kinds the chart installs.
var apis = []string{
	"github.com/fluxcd/source-controller/api/v1",
	"github.com/fluxcd/kustomize-controller/api/v1",
	"github.com/fluxcd/helm-controller/api/v2",
	"github.com/fluxcd/notification-controller/api/v1",
	"github.com/fluxcd/notification-controller/api/v1beta3",
	"github.com/sluice-gitops/sluice/api/v1alpha1",
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: generate <path of controller-gen>")
	}
	if err := controllerGen("object", "paths=github.com/sluice-gitops/sluice/api/v1alpha1"); err != nil {
		return err
	}
	if err := os.RemoveAll(crdFolder); err != nil {
		return err
	}
	out, err := filepath.Abs(crdFolder)
	if err != nil {
		return err
	}
	for _, api := range apis {
		if err := controllerGen("crd", "paths="+api, "output:crd:artifacts:config="+out); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(crdFolder, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := label(file); err != nil {
			return err
		}
	}
	return nil
}

// controllerGen runs in the api module: in a workspace every module's packages can be named from there.
func controllerGen(args ...string) error {
	cmd := exec.Command(os.Args[1], args...)
	cmd.Dir = "api"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("controller-gen %v: %w\n%s", args, err, out)
	}
	return nil
}

// label adds what Flux's command line looks for on CRDs, and keeps post-build substitution away from schemas.
func label(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head := []byte("metadata:\n  annotations:\n")
	if !bytes.Contains(text, head) {
		return fmt.Errorf("%s: no metadata.annotations to extend", file)
	}
	labelled := bytes.Replace(text, head, []byte("metadata:\n"+
		"  labels:\n"+
		"    app.kubernetes.io/instance: sluice\n"+
		"    app.kubernetes.io/part-of: flux\n"+
		"    app.kubernetes.io/version: v2.9.4\n"+
		"  annotations:\n"+
		"    kustomize.toolkit.fluxcd.io/substitute: disabled\n"), 1)
	return os.WriteFile(file, labelled, 0o644)
}
