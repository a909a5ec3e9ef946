package drift_test

import (
	"os"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/sluice-gitops/sluice/sync-controller/internal/controlplane"
)

var shared controlplane.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

func cluster(t *testing.T) *rest.Config {
	t.Helper()
	return shared.Config(t)
}
