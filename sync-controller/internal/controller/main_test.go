package controller

import (
	"flag"
	"fmt"
	"os"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"

	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluice-gitops/sluice/sync-controller/internal/kinds"
)

// What all tests of the package share, each in a namespace of its own: an API server, and what is known of its kinds.
var (
	apiServer *rest.Config
	mapper    apimeta.RESTMapper
)

// atOnce is how many tests run at once: they wait for the API server most of the time.
const atOnce = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set: it names the folder of kube-apiserver and etcd; run these tests by make test")
		return 1
	}
	env := &envtest.Environment{CRDDirectoryPaths: []string{"../../../charts/sluice/crds"}, ErrorIfCRDPathMissing: true}
	started, err := env.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the API server:", err)
		return 1
	}
	defer func() {
		if err := env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the API server:", err)
		}
	}()
	if err := share(started); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// share prepares what all tests share.
func share(started *rest.Config) error {
	http, err := rest.HTTPClientFor(started)
	if err != nil {
		return err
	}
	apiServer = started
	mapper, err = kinds.NewMapper(started, http)
	return err
}
