package prune_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/kinds"
)

// version is one of a definition.
type version struct {
	name            string
	served, storage bool
}

// gadgets is a kind with an object of the owner's that was applied in v1beta1, the only version there was.
type gadgets struct {
	*fixture
	kind schema.GroupKind
}

func newGadgets(t *testing.T) gadgets {
	t.Helper()
	f := newFixture(t)
	config := cluster(t)
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := kinds.NewMapper(config, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	forgets, _ := mapper.(*kinds.Mapper)
	f.Client, err = kinds.NewClient(forgets, func() (client.Client, error) {
		return client.New(config, client.Options{HTTPClient: httpClient, Mapper: mapper})
	})
	if err != nil {
		t.Fatal(err)
	}
	g := gadgets{fixture: f, kind: schema.GroupKind{Group: f.namespace + ".example.org", Kind: "Gadget"}}
	g.define(t, version{"v1beta1", true, true})
	// With the pruner's own client, so that it knows the kind as a process does that has run for a while.
	eventually(t, func() bool { return f.Client.Create(t.Context(), g.object("v1beta1")) == nil })
	return g
}

func (g gadgets) object(version string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(g.kind.WithVersion(version))
	o.SetNamespace(g.namespace)
	o.SetName("a")
	o.SetLabels(g.Owner.Labels())
	return o
}

func (g gadgets) definition() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "gadgets." + g.kind.Group},
	}}
}

func (g gadgets) define(t *testing.T, versions ...version) {
	t.Helper()
	list := make([]any, 0, len(versions))
	for _, v := range versions {
		list = append(list, map[string]any{
			"name": v.name, "served": v.served, "storage": v.storage,
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}},
		})
	}
	definition := g.definition()
	definition.Object["spec"] = map[string]any{
		"group": g.kind.Group, "scope": "Namespaced", "versions": list,
		"names": map[string]any{"kind": "Gadget", "plural": "gadgets"},
	}
	if err := g.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(definition), client.FieldOwner("test")); err != nil {
		t.Fatal(err)
	}
}

// ended waits until nothing of the kind is served in v1beta1.
func (g gadgets) ended(t *testing.T) {
	t.Helper()
	fresh, err := client.New(cluster(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		return kinds.Unserved(fresh.Get(t.Context(), client.ObjectKeyFromObject(g.object("")), g.object("v1beta1")))
	})
}

// An object was applied in a version that is not served any more when its file leaves: it is found in one that is, or else
// it stays in the inventory. It is gone only where the API server says so.
func TestClusterPruneOfAVersionThatIsNotServed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason   string
		become   func(*testing.T, gadgets)
		deleted  int64
		survives string
	}{
		"another version is new": {
			reason: "the process has never seen the version in which the object can be found",
			become: func(t *testing.T, g gadgets) {
				t.Helper()
				g.define(t, version{"v1", true, true}, version{"v1beta1", false, false})
				g.ended(t)
				eventually(t, func() bool {
					return g.client.Get(t.Context(), client.ObjectKeyFromObject(g.object("")), g.object("v1")) == nil
				})
			},
			deleted: 1,
		},
		"no version is served": {
			reason: "nobody can reach the object, and it is there",
			become: func(t *testing.T, g gadgets) {
				t.Helper()
				g.define(t, version{"v1beta1", false, true})
				g.ended(t)
			},
			survives: "serves no version of it",
		},
		"the kind is gone": {
			reason: "its objects went with it",
			become: func(t *testing.T, g gadgets) {
				t.Helper()
				if err := g.client.Delete(t.Context(), g.definition()); err != nil {
					t.Fatal(err)
				}
				g.ended(t)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGadgets(t)
			c.become(t, g)
			result, err := g.Prune(t.Context(), []inventory.Entry{inventory.EntryOf(g.object("v1beta1"))})
			if result.Changes.Count("deleted") != c.deleted {
				t.Errorf("%s: got %+v, %v: want %d deleted", c.reason, result, err, c.deleted)
			}
			if survives := len(result.Survivors) > 0; survives != (c.survives != "") || survives && !strings.Contains(err.Error(), c.survives) {
				t.Errorf("%s: got survivors %v, %v: want %q", c.reason, result.Survivors, err, c.survives)
			}
			if c.deleted > 0 && !apierrors.IsNotFound(g.client.Get(t.Context(), client.ObjectKeyFromObject(g.object("")), g.object("v1"))) {
				t.Errorf("%s: the object is left without anybody knowing of it", c.reason)
			}
		})
	}
}

// Whatever keeps the API server from saying where an object is, the object is not taken as gone.
func TestClusterPruneOfWhatCannotBeFoundOut(t *testing.T) {
	t.Parallel()
	g := newGadgets(t)
	c, err := client.NewWithWatch(cluster(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g.Client = interceptor.NewClient(c, interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return apierrors.NewGenericServerResponse(404, "get", schema.GroupResource{}, "a", "404 page not found", 0, true)
		},
	})
	result, err := g.Prune(t.Context(), []inventory.Entry{inventory.EntryOf(g.object("v1beta1"))})
	if err == nil || len(result.Survivors) != 1 || errors.Is(err, context.Canceled) {
		t.Errorf("got %+v, %v: a served kind that cannot be read is tried again", result, err)
	}
}
