// Package controlplane gives the tests of a package one real API server, started by the first that asks for it. Names of
// tests that ask begin with TestCluster. Only tests import it.
package controlplane

import (
	"os"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// patience is how long the API server may take to start, and to stop, on a machine that does many other things.
const patience = 3 * time.Minute

// Shared is the API server of one package's tests. The zero value is ready.
type Shared struct {
	once   sync.Once
	env    *envtest.Environment
	config *rest.Config
	err    error
}

// Run runs the package's tests, stops what they started, and returns the exit code for TestMain.
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	if s.env != nil {
		_ = s.env.Stop()
	}
	return code
}

// Config returns the administrator's client configuration, a copy for each test.
func (s *Shared) Config(t *testing.T) *rest.Config {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: it has to name a folder with etcd and kube-apiserver (make assets prints one)")
	}
	s.once.Do(func() {
		s.env = &envtest.Environment{ControlPlaneStartTimeout: patience, ControlPlaneStopTimeout: patience}
		s.config, s.err = s.env.Start()
	})
	if s.err != nil {
		t.Fatalf("start the control plane: %v", s.err)
	}
	config := rest.CopyConfig(s.config)
	config.QPS = -1
	return config
}
