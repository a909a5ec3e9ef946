package controller_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/memory"
	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/source-controller/internal/config"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller"
)

// world is one API server and one running source-controller, which the tests of this package share; each test has a
// namespace of its own.
type world struct {
	client.WithWatch
	storage string
	bus     bus.Bus
}

var shared *world

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Getenv("KUBEBUILDER_ASSETS") == "" {
			fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS must name a folder with kube-apiserver and etcd; run `make test`")
			return 1
		}
		stop, err := start()
		if err != nil {
			fmt.Fprintln(os.Stderr, "start test environment:", err)
			return 1
		}
		code := m.Run()
		if err := shown(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		stop()
		return code
	}())
}

func start() (stop func(), err error) {
	ctrl.SetLogger(logs.logger())
	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "..", "charts", "sluice", "crds")},
		ErrorIfCRDPathMissing: true,
	}
	rc, err := env.Start()
	if err != nil {
		return nil, err
	}
	storage, err := os.MkdirTemp("", "source-controller-test-")
	if err != nil {
		return nil, errors.Join(err, env.Stop())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done, err := run(ctx, rc, storage)
	stop = func() {
		cancel()
		if done != nil {
			<-done
		}
		if err := errors.Join(env.Stop(), os.RemoveAll(storage)); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// run starts the controller as main does, with short delays.
func run(ctx context.Context, rc *rest.Config, storage string) (done chan struct{}, err error) {
	server := httptest.NewUnstartedServer(nil)
	address := server.Listener.Addr().String()
	if err := server.Listener.Close(); err != nil {
		return nil, err
	}
	cfg, err := config.Parse([]string{
		"--metrics-addr=0", "--health-addr=0", "--storage-path=" + storage, "--storage-addr=" + address,
		"--storage-adv-addr=" + address, "--min-retry-delay=50ms", "--max-retry-delay=200ms", "--concurrent=4",
		"--requeue-dependency=1s", "--artifact-retention-ttl=1h",
		"--helm-index-max-size=1000000", "--helm-chart-max-size=500000", "--helm-chart-file-max-size=1000000",
	}, func(string) string { return "" })
	if err != nil {
		return nil, err
	}
	options, err := cfg.Manager()
	if err != nil {
		return nil, err
	}
	rc.WarningHandlerWithContext = process.Warnings{}
	mgr, err := ctrl.NewManager(rc, options)
	if err != nil {
		return nil, err
	}
	messages := memory.New()
	if err := controller.Setup(ctx, mgr, &cfg, messages); err != nil {
		return nil, err
	}
	direct, err := client.NewWithWatch(rc, client.Options{Scheme: mgr.GetScheme()})
	if err != nil {
		return nil, err
	}
	shared = &world{WithWatch: direct, storage: storage, bus: messages}
	done = make(chan struct{})
	go func() {
		defer close(done)
		if err := mgr.Start(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "manager:", err)
		}
	}()
	return done, nil
}

// namespace creates a namespace for one test.
func namespace(t testing.TB) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := shared.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// eventually polls until check returns nil, and fails with its last error.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}
