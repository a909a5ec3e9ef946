package kinds_test

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/controlplane"
	"github.com/sluice-gitops/sluice/sync-controller/internal/kinds"
)

var shared controlplane.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// fixture is two clients of one mapper, as those of two users are, and an administrator who remembers nothing.
type fixture struct {
	mapper      *kinds.Mapper
	one, other  *kinds.Client
	kind        schema.GroupKind
	definitions client.Client
}

func newFixture(t *testing.T, group string) *fixture {
	t.Helper()
	config := shared.Config(t)
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := kinds.NewMapper(config, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{kind: schema.GroupKind{Group: group, Kind: "Gadget"}}
	f.mapper, _ = mapper.(*kinds.Mapper)
	newClient := func() (client.Client, error) {
		return client.New(config, client.Options{HTTPClient: httpClient, Mapper: mapper})
	}
	for _, c := range []**kinds.Client{&f.one, &f.other} {
		if *c, err = kinds.NewClient(f.mapper, newClient); err != nil {
			t.Fatal(err)
		}
	}
	if f.definitions, err = client.New(config, client.Options{}); err != nil {
		t.Fatal(err)
	}
	return f
}

// define makes or changes the definition of the kind: its plural, its scope, and what is served; the first version is stored.
func (f *fixture) define(t *testing.T, plural, scope string, versions ...string) {
	t.Helper()
	served := make([]any, len(versions))
	for i, name := range versions {
		served[i] = map[string]any{
			"name": name, "served": true, "storage": i == 0,
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}},
		}
	}
	definition := f.definition(plural)
	definition.Object["spec"] = map[string]any{
		"group": f.kind.Group, "scope": scope, "versions": served,
		"names": map[string]any{"kind": f.kind.Kind, "plural": plural},
	}
	if err := f.definitions.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(definition), client.FieldOwner("test")); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) undefine(t *testing.T, plural string) {
	t.Helper()
	if err := f.definitions.Delete(t.Context(), f.definition(plural)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		definition := f.definition(plural)
		return apierrors.IsNotFound(f.definitions.Get(t.Context(), client.ObjectKeyFromObject(definition), definition))
	})
}

func (f *fixture) definition(plural string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": plural + "." + f.kind.Group},
	}}
}

func (f *fixture) gadget(namespace string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(f.kind.WithVersion("v1"))
	o.SetNamespace(namespace)
	o.SetName("one")
	return o
}

func (f *fixture) apply(t *testing.T, c client.Client, namespace string) error {
	t.Helper()
	return c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(f.gadget(namespace)), client.FieldOwner("test"))
}

// A kind that was known, and whose definition was deleted and made again, is found under its new plural, by every client and
// with every verb.
func TestClusterKindIsMadeAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "plural.example.org")
	f.define(t, "gadgets", "Namespaced", "v1")
	eventually(t, func() bool { return f.apply(t, f.one, "default") == nil })
	for name, request := range map[string]func() error{
		"read": func() error {
			return f.other.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "one"}, f.gadget("default"))
		},
		"delete": func() error { return f.other.Delete(t.Context(), f.gadget("default"), client.DryRunAll) },
	} {
		if err := request(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	f.undefine(t, "gadgets")
	f.define(t, "gadgetries", "Namespaced", "v1")
	eventually(t, func() bool { return f.apply(t, f.one, "default") == nil })
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(f.kind.WithVersion("v1").GroupVersion().WithKind("GadgetList"))
	if err := f.other.List(t.Context(), list); err != nil || len(list.Items) != 1 {
		t.Errorf("got %v and %d objects, want the one that was applied", err, len(list.Items))
	}
	if err := f.other.Delete(t.Context(), f.gadget("default")); err != nil {
		t.Errorf("delete: %v", err)
	}
}

// What is served is asked for, whatever is remembered.
func TestClusterServed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "served.example.org")
	served := func() []string {
		t.Helper()
		mappings, err := kinds.Served(t.Context(), f.mapper, f.kind)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, m := range mappings {
			lines = append(lines, m.Resource.String()+" "+string(m.Scope.Name()))
		}
		return lines
	}
	becomes := func(reason string, want ...string) {
		t.Helper()
		var got []string
		eventually(t, func() bool { got = served(); return cmp.Equal(want, got) || t.Failed() })
		known, err := f.mapper.RESTMappings(f.kind)
		if len(want) == 0 && !meta.IsNoMatchError(err) || len(known) != len(want) {
			t.Errorf("%s: the mapper remembers %v (%v), want what is served", reason, known, err)
		}
	}
	becomes("a kind that nobody has defined")
	f.define(t, "gadgets", "Namespaced", "v1beta1")
	becomes("a kind that is new", "served.example.org/v1beta1, Resource=gadgets namespace")
	f.define(t, "gadgets", "Namespaced", "v1beta1", "v1")
	becomes("a version that is new", "served.example.org/v1, Resource=gadgets namespace", "served.example.org/v1beta1, Resource=gadgets namespace")
	f.undefine(t, "gadgets")
	becomes("a kind that is gone")
}

// eventually waits for what the API server needs a moment for.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.After(90 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatal("it did not happen in time")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
