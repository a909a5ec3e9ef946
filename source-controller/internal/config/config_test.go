package config_test

import (
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/source-controller/internal/config"
)

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestDefaultsStart(t *testing.T) {
	c, err := config.Parse(nil, env(nil))
	if err != nil {
		t.Fatal(err)
	}
	if c.Storage.AdvAddr != "source-controller.flux-system.svc.cluster.local." || c.Storage.Path != "/data" || c.Concurrent != 2 {
		t.Errorf("defaults: %+v", c)
	}
	if _, err := c.Manager(); err != nil {
		t.Error(err)
	}
}

func TestEnvironment(t *testing.T) {
	c, err := config.Parse([]string{"--storage-path=/flag"}, env(map[string]string{
		"RUNTIME_NAMESPACE": "gates", "STORAGE_PATH": "/env", "STORAGE_ADDRESS": ":1",
	}))
	if err != nil || c.Storage.Path != "/flag" || c.Storage.Addr != ":1" || c.Storage.AdvAddr != "source-controller.gates.svc.cluster.local." {
		t.Errorf("%+v, %v", c.Storage, err)
	}
}

func TestRefused(t *testing.T) {
	for arg, text := range map[string]string{
		"--concurrent=0":                   "--concurrent",
		"--interval-jitter-percentage=100": "--interval-jitter-percentage",
		"--min-retry-delay=0":              "--min-retry-delay",
		"--max-retry-delay=1ms":            "--max-retry-delay",
		"--requeue-dependency=0":           "--requeue-dependency",
		"--storage-path=":                  "--storage-path",
		"--artifact-retention-records=0":   "--artifact-retention-records",
		"--artifact-max-size=0":            "--artifact-max-size",
	} {
		if _, err := config.Parse([]string{arg}, env(nil)); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v", arg, err)
		}
	}
}
