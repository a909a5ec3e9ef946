package controller_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/memory"
	"github.com/sluice-gitops/sluice/notify-controller/internal/controller"
)

// world is what all tests of the package share: an API server, and the controller on a bus in memory.
type world struct {
	env    *envtest.Environment
	client client.Client
	bus    bus.Bus
}

var shared world // one API server serves the package; TestMain can hand it over in no other way

func TestMain(m *testing.M) {
	code, err := runWith(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "controller tests:", err)
		code = 1
	}
	os.Exit(code)
}

func runWith(m *testing.M) (int, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return 1, errors.New("KUBEBUILDER_ASSETS is not set: it names a folder with etcd and kube-apiserver (make assets prints one)")
	}
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	shared.env = &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "..", "charts", "sluice", "crds")},
		ErrorIfCRDPathMissing: true,
	}
	config, err := shared.env.Start()
	if err != nil {
		return 1, fmt.Errorf("start the API server: %w", err)
	}
	defer func() { _ = shared.env.Stop() }() // the process ends
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), notificationv1beta3.AddToScheme(scheme)); err != nil {
		return 1, err
	}
	if shared.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return 1, err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	shared.bus = memory.New()
	mgr, err := ctrl.NewManager(config, ctrl.Options{Metrics: server.Options{BindAddress: "0"}})
	if err == nil {
		err = controller.Setup(mgr, controller.Options{Bus: shared.bus, Parallel: 4, Clock: clock.RealClock{}})
	}
	if err != nil {
		stop()
		return 1, err
	}
	go func() { ended <- mgr.Start(ctx) }()
	code := m.Run()
	stop()
	return code, <-ended
}
