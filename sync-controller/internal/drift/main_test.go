package drift_test

import (
	"os"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// controlPlane is started by the first test that needs one; their names begin with TestCluster.
var controlPlane struct {
	once   sync.Once
	env    *envtest.Environment
	config *rest.Config
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if controlPlane.env != nil {
		_ = controlPlane.env.Stop()
	}
	os.Exit(code)
}

func cluster(t *testing.T) *rest.Config {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: it has to name a folder with etcd and kube-apiserver")
	}
	controlPlane.once.Do(func() {
		controlPlane.env = &envtest.Environment{}
		controlPlane.config, controlPlane.err = controlPlane.env.Start()
	})
	if controlPlane.err != nil {
		t.Fatalf("start the control plane: %v", controlPlane.err)
	}
	config := rest.CopyConfig(controlPlane.config)
	config.QPS = -1
	return config
}
