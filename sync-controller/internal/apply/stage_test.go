package apply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
)

func TestClusterOneRefusalKeepsNothingElseFromBeingHealed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const yaml = `
apiVersion: v1
kind: Namespace
metadata: {name: NS-heal, labels: {wrong label: "1"}}
---
apiVersion: v1
kind: Service
metadata: {name: wrong-port, namespace: NS}
spec: {ports: [{port: 123456}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: before, namespace: NS}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: after, namespace: NS}
spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: main, image: a}]}}}
`
	lines, err := f.apply(t, yaml, apply.Options{Separately: true})
	want := []string{"ConfigMap/" + f.namespace + "/before created", "Deployment/" + f.namespace + "/after created"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("what is accepted is applied:\n%s", diff)
	}
	var refused *apply.Error
	if !errors.As(err, &refused) || len(refused.Failures) != 2 {
		t.Fatalf("got %v, want both refusals, of different stages", err)
	}
	for i, name := range []string{f.namespace + "-heal", "wrong-port"} {
		if refused.Failures[i].ID.Name != name {
			t.Errorf("refusal %d is that of %s, want %s", i, refused.Failures[i].ID, name)
		}
	}
}

func TestClusterAnApplyThatTakesTooLongSaysWithWhat(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	inner, err := client.NewWithWatch(cluster(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.Client = interceptor.NewClient(inner, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if named, ok := o.(interface{ GetName() string }); ok && named.GetName() == "hangs" {
				<-ctx.Done()
				return ctx.Err()
			}
			return c.Apply(ctx, o, opts...)
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	set := f.set(t, settings+"\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: hangs, namespace: NS}\n")
	_, err = f.Apply(ctx, set, apply.Options{})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "ConfigMap/"+f.namespace+"/hangs ") {
		t.Errorf("got %v, want the deadline, and the object that was waited for", err)
	}
}

// kindOf is a definition of one more kind in the fixture's own API group.
func kindOf(singular, plural, fields string) string {
	return `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ` + plural + `.NS.example.org}
spec:
  group: NS.example.org
  names: {kind: ` + singular + `, plural: ` + plural + `, singular: gadget}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {` + fields + `}}}}}
`
}

func TestClusterADefinitionThatIsNotAcceptedSaysWhy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mustApply(t, kindOf("Gadget", "gadgets", ""))
	_, err := f.apply(t, kindOf("Other", "others", ""), apply.Options{StageTimeout: 2 * time.Second})
	if err == nil || !strings.Contains(err.Error(), `what follows cannot use it yet: Failed: "gadget" is already in use`) {
		t.Errorf("got %v, want what the definition's status says", err)
	}
}

func TestClusterAFieldAndItsFirstUseInOneCommit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mustApply(t, kindOf("Gadget", "gadgets", ""))
	var fields []string
	for i := range 8 {
		fields = append(fields, fmt.Sprintf("f%d: {type: string}", i))
		object := fmt.Sprintf("---\napiVersion: NS.example.org/v1\nkind: Gadget\nmetadata: {name: one, namespace: NS}\nspec: {f%d: used}\n", i)
		if _, err := f.apply(t, kindOf("Gadget", "gadgets", strings.Join(fields, ", "))+object, apply.Options{}); err != nil {
			t.Fatalf("commit %d, which adds a field to a kind and uses it: %v", i, err)
		}
	}
	bad := kindOf("Gadget", "gadgets", "f9: {type: string}") + "---\napiVersion: NS.example.org/v1\nkind: Gadget\nmetadata: {name: one, namespace: NS}\nspec: {unknown: 1}\n"
	if _, err := f.apply(t, bad, apply.Options{StageTimeout: 2 * time.Second}); err == nil || !strings.Contains(err.Error(), "field not declared in schema") {
		t.Errorf("got %v, want that a field that the kind does not have is an error", err)
	}
}

func TestClusterAKindThatIsGoneIsNamed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const object = "\n---\napiVersion: NS.example.org/v1\nkind: Gadget\nmetadata: {name: one, namespace: NS}\n"
	f.mustApply(t, kindOf("Gadget", "gadgets", "")+object)
	definition := &unstructured.Unstructured{}
	definition.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	definition.SetName("gadgets." + f.namespace + ".example.org")
	if err := f.admin.Delete(t.Context(), definition); err != nil {
		t.Fatal(err)
	}
	want := "cannot be applied: no kind Gadget in group " + f.namespace + ".example.org/v1: is its CRD installed?"
	deadline := time.After(90 * time.Second)
	for {
		_, err := f.apply(t, object, apply.Options{})
		if err != nil && strings.Contains(err.Error(), want) {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("got %v, want %q", err, want)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if _, err := f.Client.RESTMapper().RESTMapping(schema.GroupKind{Group: f.namespace + ".example.org", Kind: "Gadget"}, "v1"); meta.IsNoMatchError(err) {
		t.Error("the mapper has noticed: the test shows nothing")
	}
}
