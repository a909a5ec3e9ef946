package measure_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluice-gitops/sluice/source-controller/internal/measure"
)

func TestNilMeasuresNothing(t *testing.T) {
	var none *measure.Metrics
	none.Fetched("GitRepository", measure.Success, time.Second)
	none.Received("GitRepository", 1)
}

// TestVolume: folders and links have no bytes of their own, and the sum is not made anew at each scrape.
func TestVolume(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, size int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	used := func(v *measure.Volume, want string) {
		t.Helper()
		err := testutil.CollectAndCompare(v, strings.NewReader(`
# HELP sluice_storage_bytes Bytes of the files in the storage: artifacts, charts and clones.
# TYPE sluice_storage_bytes gauge
sluice_storage_bytes `+want+`
`), "sluice_storage_bytes")
		if err != nil {
			t.Error(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, ".git-cache", "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("one", 100)
	write(".git-cache/a/pack", 23)
	if err := os.Symlink("one", filepath.Join(dir, "latest.tar.gz")); err != nil {
		t.Fatal(err)
	}
	now, lazy := &measure.Volume{Dir: dir}, &measure.Volume{Dir: dir, Every: time.Hour}
	used(now, "123")
	used(lazy, "123")
	write("two", 1)
	used(now, "124")
	used(lazy, "123")
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(now)
	families, err := registry.Gather()
	if err != nil || len(families) != 2 || families[1].GetMetric()[0].GetGauge().GetValue() <= 0 {
		t.Errorf("what is left: %v, %v", families, err)
	}
}
