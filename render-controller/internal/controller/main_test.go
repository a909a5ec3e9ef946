package controller_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-gitops/sluice/render-controller/internal/config"
	"github.com/sluice-gitops/sluice/render-controller/internal/controller"
	"github.com/sluice-gitops/sluice/render-controller/internal/render"
)

// systemNamespace is where the controller under test takes itself to run.
const systemNamespace = "flux-system"

// cluster is the API server that all tests of this package share, with one controller on it.
var cluster struct {
	config *rest.Config
	client client.Client
	scheme *runtime.Scheme
	// data is the storage path of the controller; address is where it serves.
	data, address string
	// stop ends the controller that runs.
	stop func()
}

// TestMain starts an API server and the controller, whose workers are this test binary again.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "worker" {
		dieOfPoison()
		if err := render.Serve(); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(run(m))
}

// poison in a job kills the worker that it is given to.
const poison = "poisonous"

// dieOfPoison has this worker end as soon as it is given a job with poison in it.
func dieOfPoison() {
	parent := os.Stdin
	in, out, err := os.Pipe()
	if err != nil {
		os.Exit(1)
	}
	os.Stdin = in
	go func() {
		defer func() { _ = out.Close() }()
		buffer := make([]byte, 1<<20)
		for {
			n, err := parent.Read(buffer)
			if bytes.Contains(buffer[:n], []byte(poison)) {
				os.Exit(3)
			}
			if _, failed := out.Write(buffer[:n]); err != nil || failed != nil {
				return
			}
		}
	}()
}

func run(m *testing.M) int {
	log.SetLogger(logr.Discard())
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS has to name a directory with kube-apiserver and etcd; use make test")
		return 1
	}
	environment := &envtest.Environment{
		CRDDirectoryPaths: []string{filepath.Join("..", "..", "..", "charts", "sluice", "crds")}, ErrorIfCRDPathMissing: true,
	}
	stop, err := start(environment)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		_ = environment.Stop()
		return 1
	}
	code := m.Run()
	stop()
	if err := environment.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return code
}

func start(environment *envtest.Environment) (stop func(), err error) {
	if cluster.config, err = environment.Start(); err != nil {
		return nil, err
	}
	if cluster.scheme, err = newScheme(); err != nil {
		return nil, err
	}
	if cluster.client, err = client.New(cluster.config, client.Options{Scheme: cluster.scheme}); err != nil {
		return nil, err
	}
	if cluster.data, err = os.MkdirTemp("", "render-controller-*"); err != nil {
		return nil, err
	}
	if err := createNamespace(systemNamespace); err != nil {
		return nil, err
	}
	if cluster.address, err = freeAddress(); err != nil {
		return nil, err
	}
	if err := startController(); err != nil {
		return nil, err
	}
	return func() {
		cluster.stop()
		_ = os.RemoveAll(cluster.data)
	}, nil
}

// restart ends the controller, and starts it again on the same storage.
func restart(t *testing.T) {
	t.Helper()
	cluster.stop()
	must(t, startController())
}

// startController runs what main runs, without the flags' own defaults for addresses.
func startController() error {
	served := "http://" + cluster.address
	cfg, err := config.Parse([]string{
		"--storage-path=" + cluster.data, "--storage-addr=" + cluster.address, "--storage-adv-addr=" + served,
		"--metrics-addr=0", "--health-addr=0", "--requeue-dependency=200ms", "--build-timeout=1m", "--concurrent=2",
	}, func(string) string { return systemNamespace })
	if err != nil {
		return err
	}
	options, err := cfg.Manager()
	if err != nil {
		return err
	}
	again := true
	options.Controller.SkipNameValidation = &again // a restart is in the same process here
	mgr, err := ctrl.NewManager(cluster.config, options)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	release, err := controller.Assemble(ctx, mgr, &cfg, nil, []string{os.Args[0], "worker"})
	if err != nil {
		cancel()
		return err
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	cluster.stop = func() {
		cancel()
		if err := <-done; err != nil {
			fmt.Fprintln(os.Stderr, "manager:", err)
		}
		release()
	}
	return nil
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func newScheme() (*runtime.Scheme, error) {
	cfg, err := config.Parse(nil, func(string) string { return "" })
	if err != nil {
		return nil, err
	}
	options, err := cfg.Manager()
	return options.Scheme, err
}
