package apply_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
)

// large is a definition of about 63 kB, as a service mesh brings 14 of, in the given versions.
func large(n int, versions ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: meshes%[1]d.NS.example.org}
spec:
  group: NS.example.org
  names: {kind: Mesh%[1]d, plural: meshes%[1]d}
  scope: Namespaced
  versions:
`, n)
	const field = "              field%d: {type: array, description: %q, items: {type: object, properties: {a: {type: string}, b: {type: integer}}}}\n"
	for i, v := range versions {
		fmt.Fprintf(&b, "  - name: %s\n    served: true\n    storage: %v\n    schema:\n      openAPIV3Schema:\n        type: object\n"+
			"        properties:\n          spec:\n            type: object\n            properties:\n", v, i == 0)
		for p := range 400 / len(versions) {
			fmt.Fprintf(&b, field, p, strings.Repeat("what it is ", 4))
		}
	}
	return b.String()
}

// Fourteen large definitions, where others of the same names stand, and an object of a version that is new.
func TestClusterLargeDefinitionsGetAnotherVersion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var before, after strings.Builder
	for n := range 14 {
		before.WriteString(large(n, "v1alpha3", "v1beta1"))
		after.WriteString(large(n, "v1", "v1alpha3", "v1beta1"))
	}
	f.mustApply(t, before.String())
	f.requests.take()
	after.WriteString("---\napiVersion: NS.example.org/v1\nkind: Mesh13\nmetadata: {name: one, namespace: NS}\n")
	progress := &apply.Progress{}
	if _, err := f.apply(t, after.String(), apply.Options{Progress: progress}); err != nil {
		t.Fatal(err)
	}
	if counts := f.requests.take(); counts["PATCH"] != 15 {
		t.Errorf("got %v, want one apply per object: nothing is written twice because somebody waits", counts)
	}
	if got := progress.String(); got != "resources: 1 of 1 written" {
		t.Errorf("got %q, want how far the last stage is, and nothing that is waited for", got)
	}
}

// What an apply waits for is told while it waits, and it does not wait longer than a stage may.
func TestClusterWaitsAreToldAndEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mustApply(t, kindOf("Gadget", "gadgets", ""))
	progress := &apply.Progress{}
	ended := make(chan error, 1)
	go func() {
		_, err := f.Apply(t.Context(), f.set(t, kindOf("Other", "others", "")), apply.Options{Progress: progress, StageTimeout: 3 * time.Second})
		ended <- err
	}()
	want := "waiting for CustomResourceDefinition/others." + f.namespace + ".example.org: "
	eventually(t, func() bool { return strings.HasPrefix(progress.String(), want) })
	if err := <-ended; err == nil {
		t.Error("a definition that is never accepted was waited for, and then taken as accepted")
	}
	if got := progress.String(); strings.HasPrefix(got, "waiting") {
		t.Errorf("got %q after the end", got)
	}
}

// Hundreds of objects of a kind that is not served wait together, and not one after the other.
func TestClusterManyObjectsWaitTogether(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Client = unservedClient{f.Client}
	var objects strings.Builder
	objects.WriteString(kindOf("Gadget", "gadgets", ""))
	for n := range 80 {
		fmt.Fprintf(&objects, "---\napiVersion: NS.example.org/v1\nkind: Gadget\nmetadata: {name: g%d, namespace: NS}\n", n)
	}
	const patience = 2 * time.Second
	limited, cancel := context.WithTimeout(t.Context(), 15*patience) // one after the other it would be 80/8 of them and more
	defer cancel()
	_, err := f.Apply(limited, f.set(t, objects.String()), apply.Options{StageTimeout: patience})
	var refused *apply.Error
	if !errors.As(err, &refused) || len(refused.Failures) != 80 || limited.Err() != nil {
		t.Errorf("got %v, want every object named before the time is over", err)
	}
}

// unservedClient answers as an API server that has not noticed a definition.
type unservedClient struct{ client.Client }

func (c unservedClient) Apply(ctx context.Context, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	if named, ok := o.(interface{ GetKind() string }); ok && named.GetKind() == "Gadget" {
		return apierrors.NewGenericServerResponse(http.StatusNotFound, "patch", schema.GroupResource{}, "", "404 page not found", 0, true)
	}
	return c.Client.Apply(ctx, o, opts...)
}
