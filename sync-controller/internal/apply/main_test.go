package apply_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/controlplane"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

const (
	manager = "kustomize-controller"
	group   = "kustomize.toolkit.fluxcd.io"
)

var shared controlplane.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

func cluster(t *testing.T) *rest.Config {
	t.Helper()
	return shared.Config(t)
}

// requests counts what is asked of the API server about objects.
type requests struct {
	next http.RoundTripper

	mu    sync.Mutex
	calls []string
}

func (r *requests) RoundTrip(request *http.Request) (*http.Response, error) {
	if strings.Count(request.URL.Path, "/") > 3 {
		call := request.Method
		if request.URL.Query().Has("dryRun") {
			call += " dry"
		}
		r.mu.Lock()
		r.calls = append(r.calls, call)
		r.mu.Unlock()
	}
	return r.next.RoundTrip(request)
}

// take returns how often each kind of request was made since the last take.
func (r *requests) take() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := map[string]int{}
	for _, call := range r.calls {
		counts[call]++
	}
	r.calls = nil
	return counts
}

// fixture is an applier for a namespace of its own.
type fixture struct {
	*apply.Applier
	namespace string
	requests  *requests
	admin     client.Client // sends what is not counted
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	config := cluster(t)
	admin := newClient(t, rest.CopyConfig(config))
	counter := &requests{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		counter.next = next
		return counter
	})
	f := &fixture{requests: counter, admin: admin}
	namespace := &unstructured.Unstructured{}
	namespace.SetAPIVersion("v1")
	namespace.SetKind("Namespace")
	namespace.SetGenerateName("apply-")
	if err := admin.Create(t.Context(), namespace); err != nil {
		t.Fatalf("create a namespace: %v", err)
	}
	f.namespace = namespace.GetName()
	f.Applier = &apply.Applier{
		Client:       newClient(t, config),
		FieldManager: manager,
		Owner:        inventory.Owner{Group: group, Namespace: f.namespace, Name: "apps"},
	}
	return f
}

func newClient(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	return c
}

// parse reads objects; NS stands for the namespace of the fixture.
func (f *fixture) parse(t *testing.T, yaml string) []rendering.Object {
	t.Helper()
	objects, err := utils.ReadObjects(strings.NewReader(strings.ReplaceAll(yaml, "NS", f.namespace)))
	if err != nil {
		t.Fatalf("read objects: %v", err)
	}
	rendered := make([]rendering.Object, len(objects))
	for i, o := range objects {
		rendered[i].Object = o
	}
	return rendered
}

func (f *fixture) set(t *testing.T, yaml string) apply.Set {
	t.Helper()
	set, err := f.Prepare(f.parse(t, yaml))
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	return set
}

// apply applies the objects and returns the lines of the change set.
func (f *fixture) apply(t *testing.T, yaml string, o apply.Options) ([]string, error) {
	t.Helper()
	changes, err := f.Apply(t.Context(), f.set(t, yaml), o)
	return changes.Lines(100), err
}

func (f *fixture) mustApply(t *testing.T, yaml string) []string {
	t.Helper()
	lines, err := f.apply(t, yaml, apply.Options{})
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return lines
}

func (f *fixture) get(t *testing.T, apiVersion, kind, name string) (*unstructured.Unstructured, error) {
	t.Helper()
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	err := f.admin.Get(context.WithoutCancel(t.Context()), client.ObjectKey{Namespace: f.namespace, Name: name}, o)
	return o, err
}

func (f *fixture) mustGet(t *testing.T, apiVersion, kind, name string) *unstructured.Unstructured {
	t.Helper()
	o, err := f.get(t, apiVersion, kind, name)
	if err != nil {
		t.Fatalf("get %s %s: %v", kind, name, err)
	}
	return o
}
