package apply_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

const settings = `
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: NS}
data: {color: blue}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b, namespace: NS}
data: {color: green}
`

func TestClusterCreateConfigureUnchanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ns := f.namespace
	for _, step := range []struct {
		reason   string
		yaml     string
		want     []string
		requests map[string]int
	}{
		{
			reason:   "nothing is there: each object costs a dry-run and an apply",
			yaml:     settings,
			want:     []string{"ConfigMap/" + ns + "/a created", "ConfigMap/" + ns + "/b created"},
			requests: map[string]int{"PATCH dry": 2, "PATCH": 2},
		},
		{
			reason:   "unchanged objects are never written: two requests each",
			yaml:     settings,
			want:     []string{"ConfigMap/" + ns + "/a unchanged", "ConfigMap/" + ns + "/b unchanged"},
			requests: map[string]int{"GET": 2, "PATCH dry": 2},
		},
		{
			reason:   "only what changed is written",
			yaml:     strings.Replace(settings, "green", "red", 1),
			want:     []string{"ConfigMap/" + ns + "/a unchanged", "ConfigMap/" + ns + "/b configured"},
			requests: map[string]int{"GET": 2, "PATCH dry": 2, "PATCH": 1},
		},
	} {
		got := f.mustApply(t, step.yaml)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s:\n%s", step.reason, diff)
		}
		if diff := cmp.Diff(step.requests, f.requests.take()); diff != "" {
			t.Errorf("%s: requests:\n%s", step.reason, diff)
		}
	}
	live := f.mustGet(t, "v1", "ConfigMap", "a")
	if want := f.Owner.Labels(); !cmp.Equal(want, live.GetLabels()) {
		t.Errorf("labels are %v, want the owner's %v", live.GetLabels(), want)
	}
}

func TestClusterKnownUnchanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mustApply(t, settings)
	f.requests.take()
	lines, err := f.apply(t, settings, apply.Options{Unchanged: func(inventory.ID) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"ConfigMap/" + f.namespace + "/a unchanged", "ConfigMap/" + f.namespace + "/b unchanged"}; !cmp.Equal(want, lines) {
		t.Errorf("got %v, want %v", lines, want)
	}
	if got := f.requests.take(); len(got) > 0 {
		t.Errorf("objects known to be unchanged cost %v, want no request", got)
	}
}

func TestClusterAllRefusalsAreReportedAndNothingIsApplied(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.apply(t, `
apiVersion: v1
kind: ConfigMap
metadata: {name: fine, namespace: NS}
---
apiVersion: v1
kind: Service
metadata: {name: wrong-port, namespace: NS}
spec: {ports: [{port: 123456}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: no-template, namespace: NS}
spec: {replicas: 1}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: lost, namespace: nowhere}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: homeless}
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: unknown, namespace: NS}
`, apply.Options{})
	var refused *apply.Error
	if !errors.As(err, &refused) {
		t.Fatalf("got error %v, want an apply.Error", err)
	}
	want := []string{
		"ConfigMap/homeless namespace not specified",
		"ConfigMap/nowhere/lost cannot be applied: namespace nowhere does not exist",
		"Service/" + f.namespace + "/wrong-port dry-run failed (Invalid): ",
		"Deployment/" + f.namespace + "/no-template dry-run failed (Invalid): ",
		"Widget/" + f.namespace + "/unknown cannot be applied: no kind Widget in group example.org/v1: is its CRD installed?",
	}
	if len(refused.Failures) != len(want) {
		t.Fatalf("got %d failures, want %d: %v", len(refused.Failures), len(want), err)
	}
	for i, failure := range refused.Failures {
		if !strings.HasPrefix(failure.Message, want[i]) || !strings.Contains(err.Error(), failure.Message) {
			t.Errorf("failure %d is %q, want %q…, and part of the error", i, failure.Message, want[i])
		}
	}
	if refused.Written {
		t.Error("the error says that something was written")
	}
	if _, err := f.get(t, "v1", "ConfigMap", "fine"); !apierrors.IsNotFound(err) {
		t.Errorf("the valid object of a stage that was refused was applied: %v", err)
	}
}

func TestClusterSecretsAreNotRepeated(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const canary = "hunter2-canary"
	objects := f.parse(t, `
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: NS}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: `+canary+`}
---
apiVersion: v1
kind: Service
metadata: {name: tainted, namespace: NS}
spec: {type: `+canary+`, ports: [{port: 80}]}
`)
	objects[1].Tainted = true
	set, err := f.Prepare(objects)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Apply(t.Context(), set, apply.Options{})
	var refused *apply.Error
	if !errors.As(err, &refused) || len(refused.Failures) != 2 {
		t.Fatalf("got %v, want both objects refused", err)
	}
	if strings.Contains(err.Error(), canary) {
		t.Errorf("the error repeats a secret value: %v", err)
	}
}

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: GADGETs.GROUP}
spec:
  group: GROUP
  names: {kind: Gadget, plural: GADGETs, singular: gadget}
  scope: Cluster
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: GROUP/v1
kind: Gadget
metadata: {name: one, namespace: stray}
---
apiVersion: v1
kind: Namespace
metadata: {name: NS-extra}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: inside, namespace: NS-extra}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: NS-urgent}
value: 1000
`

func TestClusterStages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	group := f.namespace + ".example.org"
	yaml := strings.NewReplacer("GADGET", "gadget", "GROUP", group).Replace(widgets)
	got := f.mustApply(t, yaml)
	want := []string{
		"CustomResourceDefinition/gadgets." + group + " created",
		"Namespace/" + f.namespace + "-extra created",
		"PriorityClass/" + f.namespace + "-urgent created",
		"ConfigMap/" + f.namespace + "-extra/inside created",
		"Gadget/one created",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a kind, a namespace and a class, each with what needs it, in one set:\n%s", diff)
	}
	again := f.mustApply(t, yaml)
	for _, line := range again {
		if !strings.HasSuffix(line, "unchanged") {
			t.Errorf("the second apply did: %s", line)
		}
	}
}

const job = `
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: NS ANNOTATIONS}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: IMAGE}]
`

func TestClusterImmutableFields(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason      string
		annotations string
		force       bool
		image       string
		want        string
		wantErr     string
	}{
		"refused": {
			reason:  "an immutable field is an error by default",
			image:   "example.org/app:2",
			wantErr: "field is immutable; to have it deleted and created again, annotate it with kustomize.toolkit.fluxcd.io/force: enabled",
		},
		"forced": {
			reason: "spec.force recreates",
			force:  true,
			image:  "example.org/app:2",
			want:   "created",
		},
		"annotated": {
			reason:      "an object may ask for it",
			annotations: ", annotations: {kustomize.toolkit.fluxcd.io/force: Enabled}",
			image:       "example.org/app:2",
			want:        "created",
		},
		"forced but annotated against it": {
			reason:      "what the object says about itself counts",
			annotations: ", annotations: {kustomize.toolkit.fluxcd.io/force: disabled}",
			force:       true,
			image:       "example.org/app:2",
			wantErr:     "field is immutable",
		},
		"forced but invalid": {
			reason:  "an object that could not be created again is not deleted",
			force:   true,
			image:   "''",
			wantErr: "image: Required value",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			first := strings.NewReplacer("ANNOTATIONS", "", "IMAGE", "example.org/app:1").Replace(job)
			f.mustApply(t, first)
			before := f.mustGet(t, "batch/v1", "Job", "migrate").GetUID()
			second := strings.NewReplacer("ANNOTATIONS", c.annotations, "IMAGE", c.image).Replace(job)
			lines, err := f.apply(t, second, apply.Options{Force: c.force})
			after := f.mustGet(t, "batch/v1", "Job", "migrate").GetUID()
			if c.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), c.wantErr) || before != after {
					t.Fatalf("%s: got error %v and the same object: %v", c.reason, err, before == after)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", c.reason, err)
			}
			if want := []string{"Job/" + f.namespace + "/migrate " + c.want}; !cmp.Equal(want, lines) || before == after {
				t.Errorf("%s: got %v, want %v and another object", c.reason, lines, want)
			}
		})
	}
}

// TestClusterForceLosesNoData is about claims of volumes: their data would go with them.
func TestClusterForceLosesNoData(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const claim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: NS, finalizers: [], annotations: {kustomize.toolkit.fluxcd.io/force: "FORCE"}}
spec: {accessModes: [ReadWriteOnce], storageClassName: CLASS, resources: {requests: {storage: 1Gi}}}
`
	claimed := func(force, class string) string {
		return strings.NewReplacer("FORCE", force, "CLASS", class).Replace(claim)
	}
	f.mustApply(t, claimed("", "slow"))
	before := f.mustGet(t, "v1", "PersistentVolumeClaim", "data").GetUID()
	_, err := f.apply(t, claimed("", "fast"), apply.Options{Force: true})
	if err == nil || !strings.Contains(err.Error(), "force: enabled") || f.mustGet(t, "v1", "PersistentVolumeClaim", "data").GetUID() != before {
		t.Errorf("got %v: want the claim to stay, and to be told how to have it recreated", err)
	}
	live := f.mustGet(t, "v1", "PersistentVolumeClaim", "data")
	live.SetFinalizers(nil) // no controller takes it off here
	if err := f.admin.Update(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	_, err = f.apply(t, claimed("enabled", "fast"), apply.Options{})
	if err != nil || f.mustGet(t, "v1", "PersistentVolumeClaim", "data").GetUID() == before {
		t.Errorf("got %v: a claim that asks for it is recreated", err)
	}
}

func TestClusterRecreateService(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const service = `
apiVersion: v1
kind: Service
metadata: {name: a, namespace: NS}
spec: {type: NodePort, clusterIP: ADDRESS, ports: [{port: 80, nodePort: 30123}]}
`
	f.mustApply(t, strings.Replace(service, "ADDRESS", "10.0.0.201", 1))
	lines, err := f.apply(t, strings.Replace(service, "ADDRESS", "10.0.0.202", 1), apply.Options{Force: true})
	if want := []string{"Service/" + f.namespace + "/a created"}; err != nil || !cmp.Equal(want, lines) {
		t.Errorf("got %v, %v: want another address under the same port", lines, err)
	}
}

func TestClusterObjectsSteer(t *testing.T) {
	t.Parallel()
	const yaml = `
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: NS, annotations: {kustomize.toolkit.fluxcd.io/KEY}}
data: {ours: VALUE}
`
	for name, c := range map[string]struct {
		reason string
		key    string
		live   bool // there is an object that kubectl made before
		want   string
		data   map[string]string
	}{
		"ignore":             {reason: "nothing is applied", key: "ssa: Ignore", want: "skipped"},
		"ignore existing":    {reason: "nothing is changed", key: "ssa: ignore", live: true, want: "skipped", data: map[string]string{"ours": "0", "theirs": "0"}},
		"reconcile disabled": {reason: "nothing is changed", key: "reconcile: disabled", live: true, want: "skipped", data: map[string]string{"ours": "0", "theirs": "0"}},
		"if not present":     {reason: "created once", key: "ssa: IfNotPresent", want: "created", data: map[string]string{"ours": "1"}},
		"if present":         {reason: "never changed", key: "ssa: IfNotPresent", live: true, want: "skipped", data: map[string]string{"ours": "0", "theirs": "0"}},
		"merge":              {reason: "what kubectl set stays", key: "ssa: Merge", live: true, want: "configured", data: map[string]string{"ours": "1", "theirs": "0"}},
		"override":           {reason: "what kubectl set and is not in the source goes", key: "ssa: Override", live: true, want: "configured", data: map[string]string{"ours": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			if c.live {
				f.kubectl(t, map[string]any{"ours": "0", "theirs": "0"})
			}
			lines := f.mustApply(t, strings.NewReplacer("KEY", c.key, "VALUE", `"1"`).Replace(yaml))
			if want := []string{"ConfigMap/" + f.namespace + "/a " + c.want}; !cmp.Equal(want, lines) {
				t.Errorf("%s: got %v, want %v", c.reason, lines, want)
			}
			live, err := f.get(t, "v1", "ConfigMap", "a")
			if err != nil && !apierrors.IsNotFound(err) {
				t.Fatal(err)
			}
			data, _, _ := unstructured.NestedStringMap(live.Object, "data")
			if diff := cmp.Diff(c.data, data); diff != "" {
				t.Errorf("%s:\n%s", c.reason, diff)
			}
		})
	}
}

// kubectl makes the ConfigMap a as kubectl apply would.
func (f *fixture) kubectl(t *testing.T, data map[string]any) {
	t.Helper()
	live := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{
			"name": "a", "namespace": f.namespace,
			"annotations": map[string]any{"kubectl.kubernetes.io/last-applied-configuration": "{}"},
		},
		"data": data,
	}}
	if err := f.admin.Create(t.Context(), live, client.FieldOwner("kubectl-client-side-apply")); err != nil {
		t.Fatal(err)
	}
}

func TestClusterTakeOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kubectl(t, map[string]any{"color": "blue"})
	const yaml = `
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: NS}
data: {color: blue}
`
	f.requests.take()
	if got, want := f.mustApply(t, yaml), []string{"ConfigMap/" + f.namespace + "/a configured"}; !cmp.Equal(want, got) {
		t.Errorf("got %v, want %v", got, want)
	}
	if want, got := map[string]int{"GET": 1, "PATCH dry": 1, "PATCH": 2}, f.requests.take(); !cmp.Equal(want, got) {
		t.Errorf("taking over costs %v, want %v", got, want)
	}
	live := f.mustGet(t, "v1", "ConfigMap", "a")
	if len(live.GetAnnotations()) > 0 {
		t.Errorf("kubectl's annotation is left: %v", live.GetAnnotations())
	}
	if fields := live.GetManagedFields(); len(fields) != 1 || fields[0].Manager != manager {
		t.Errorf("field managers are %v, want only ours", fields)
	}
	if got, want := f.mustApply(t, yaml), []string{"ConfigMap/" + f.namespace + "/a unchanged"}; !cmp.Equal(want, got) {
		t.Errorf("the second apply: got %v, want %v", got, want)
	}
}

func TestClusterFieldTakenAndGivenBackBecomesOursAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mustApply(t, settings)
	for _, color := range []string{"red", "blue"} {
		live := f.mustGet(t, "v1", "ConfigMap", "a")
		_ = unstructured.SetNestedField(live.Object, color, "data", "color")
		if err := f.admin.Update(t.Context(), live, client.FieldOwner("someone")); err != nil {
			t.Fatal(err)
		}
	}
	got := f.mustApply(t, settings)
	if want := "ConfigMap/" + f.namespace + "/a configured"; got[0] != want {
		t.Errorf("got %v, want %s: the value is ours, but the field is not", got, want)
	}
}
