package drift_test

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/health"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/kinds"
)

const (
	group   = "kustomize.toolkit.fluxcd.io"
	manager = "kustomize-controller"
	// patience is how long a test waits for something that has to happen.
	patience = 90 * time.Second
)

// fixture is a watcher of Deployments and ConfigMaps, and an applied set of both.
type fixture struct {
	client    client.Client
	applier   *apply.Applier
	watcher   *drift.Watcher
	set       apply.Set
	live      map[string]*metav1.PartialObjectMetadata // by kind
	namespace string
}

var watched = []drift.Kind{
	{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("ConfigMap"), OwnerGroup: group},
	{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("Deployment"), OwnerGroup: group},
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixtureThrough(t, cluster(t))
}

// newFixtureThrough makes a fixture whose watcher has a way of its own to the API server.
func newFixtureThrough(t *testing.T, config *rest.Config) *fixture {
	t.Helper()
	own := cluster(t)
	httpClient, err := rest.HTTPClientFor(own)
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := kinds.NewMapper(own, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	forgets, _ := mapper.(*kinds.Mapper)
	c, err := kinds.NewClient(forgets, func() (client.Client, error) { return client.New(own, client.Options{Mapper: mapper}) })
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "drift-"}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	f := &fixture{client: c, namespace: namespace.Name, live: map[string]*metav1.PartialObjectMetadata{}}
	owner := inventory.Owner{Group: group, Namespace: f.namespace, Name: "apps"}
	f.applier = &apply.Applier{Client: c, FieldManager: manager, Owner: owner}
	f.apply(t)

	f.watcher = drift.NewWatcher(drift.Options{
		Client:        metadata.NewForConfigOrDie(config),
		Mapper:        mapper,
		Managers:      map[string]string{group: manager},
		Key:           []byte("key"),
		StatusMatters: health.Relevant,
	})
	f.watcher.SetKinds(watched[:1])
	start(t, f.watcher)
	f.watcher.SetKinds(watched)
	for _, k := range watched {
		eventually(t, func() bool { return f.watcher.Synced(group, k.GroupKind()) })
	}
	return f
}

func start(t *testing.T, w *drift.Watcher) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- w.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the watcher ended with %v", err)
		}
	})
}

// apply applies the objects, and remembers their metadata.
func (f *fixture) apply(t *testing.T) {
	t.Helper()
	labels := map[string]any{"app": "a"}
	objects := []rendering.Object{
		{Object: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": "a", "namespace": f.namespace},
			"data":     map[string]any{"color": "blue"},
		}}},
		{Object: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": map[string]any{"name": "a", "namespace": f.namespace},
			"spec": map[string]any{
				"replicas": int64(1),
				"selector": map[string]any{"matchLabels": labels},
				"template": map[string]any{
					"metadata": map[string]any{"labels": labels},
					"spec": map[string]any{"containers": []any{map[string]any{
						"name": "main", "image": "example.org/a",
						"ports": []any{map[string]any{"containerPort": int64(8080)}, map[string]any{"containerPort": int64(443)}},
					}}},
				},
			},
		}}},
	}
	set, err := f.applier.Prepare(objects)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := f.applier.Apply(t.Context(), set, apply.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.set = set
	for _, change := range changes {
		f.live[change.ID.GroupKind.Kind] = change.Live
	}
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatal("it did not happen in time")
		case <-tick.C:
		}
	}
}

// next returns the next signal about the fixture's owner.
func (f *fixture) next(t *testing.T) drift.Signal {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		s, err := f.watcher.Signals().Next(ctx)
		if err != nil {
			t.Fatalf("no signal: %v", err)
		}
		if s.Owner.Namespace == f.namespace {
			return s
		}
	}
}

func TestClusterSignals(t *testing.T) {
	deployment := func(f *fixture) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "a"}}
	}
	settings := func(f *fixture) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "a"}}
	}
	patch := func(text string) client.Patch { return client.RawPatch("application/merge-patch+json", []byte(text)) }
	for name, c := range map[string]struct {
		reason  string
		do      func(context.Context, *fixture) error
		kind    string
		want    drift.Type
		manager string
	}{
		"scaled": {
			reason: "kubectl scale goes through a subresource",
			do: func(ctx context.Context, f *fixture) error {
				return f.client.SubResource("scale").Update(ctx, deployment(f),
					client.WithSubResourceBody(&autoscalingv1.Scale{
						ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "a"},
						Spec:       autoscalingv1.ScaleSpec{Replicas: 3},
					}), client.FieldOwner("kubectl"))
			},
			kind: "Deployment", want: drift.Changed, manager: "kubectl",
		},
		"edited": {
			reason: "a value of ours was changed",
			do: func(ctx context.Context, f *fixture) error {
				return f.client.Patch(ctx, settings(f), patch(`{"data":{"color":"red"}}`), client.FieldOwner("kubectl-edit"))
			},
			kind: "ConfigMap", want: drift.Changed, manager: "kubectl-edit",
		},
		"removed": {
			reason: "a value of ours was removed",
			do: func(ctx context.Context, f *fixture) error {
				return f.client.Patch(ctx, settings(f), patch(`{"data":null}`), client.FieldOwner("kubectl-edit"))
			},
			// The manager is left with no field, and so without a mark.
			kind: "ConfigMap", want: drift.Changed,
		},
		"forced": {
			reason: "another manager took a field by force",
			do: func(ctx context.Context, f *fixture) error {
				o := &unstructured.Unstructured{Object: map[string]any{
					"apiVersion": "v1", "kind": "ConfigMap",
					"metadata": map[string]any{"namespace": f.namespace, "name": "a"},
					"data":     map[string]any{"color": "red"},
				}}
				return f.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o),
					client.FieldOwner("other"), client.ForceOwnership)
			},
			kind: "ConfigMap", want: drift.Changed, manager: "other",
		},
		"deleted": {
			reason: "the object is gone",
			do:     func(ctx context.Context, f *fixture) error { return f.client.Delete(ctx, settings(f)) },
			kind:   "ConfigMap", want: drift.Gone,
		},
		"unlabelled": {
			reason: "the object is out of sight of a watch by label",
			do: func(ctx context.Context, f *fixture) error {
				return f.client.Patch(ctx, settings(f), patch(`{"metadata":{"labels":null}}`))
			},
			kind: "ConfigMap", want: drift.Gone,
		},
		"claimed": {
			reason: "another owner's name was put on it",
			do: func(ctx context.Context, f *fixture) error {
				return f.client.Patch(ctx, settings(f), patch(`{"metadata":{"labels":{"`+group+`/name":"other"}}}`), client.FieldOwner("thief"))
			},
			kind: "ConfigMap", want: drift.Changed, manager: "thief",
		},
		"status": {
			reason: "a workload reported",
			do: func(ctx context.Context, f *fixture) error {
				return f.client.Status().Patch(ctx, deployment(f), patch(`{"status":{"observedGeneration":1}}`), client.FieldOwner("kube-controller-manager"))
			},
			kind: "Deployment", want: drift.StatusChanged,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			if err := c.do(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			got := f.next(t)
			if got.Type != c.want || got.Object.ID.GroupKind.Kind != c.kind || got.Manager != c.manager || got.Owner.Namespace != f.namespace {
				t.Errorf("%s: got %+v, want type %d of %s by %q", c.reason, got, c.want, c.kind, c.manager)
			}
		})
	}
}

func TestClusterHealIsNoDrift(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "a"}}
	err := f.client.Patch(t.Context(), o, client.RawPatch("application/merge-patch+json", []byte(`{"data":{"color":"red"}}`)), client.FieldOwner("someone"))
	if err != nil {
		t.Fatal(err)
	}
	s := f.next(t)
	part := f.set.Only(func(id inventory.ID) bool { return id == s.Object.ID })
	changes, err := f.applier.Apply(t.Context(), part, apply.Options{})
	if err != nil || changes.Count(apply.Configured) != 1 {
		t.Fatalf("heal: %v, %v", changes, err)
	}
	want := apply.Fingerprint([]byte("key"), manager, changes[0].Live)
	eventually(t, func() bool {
		got, _ := f.watcher.Fingerprint(group, s.Object.ID)
		return got == want
	})
	// The deletion is the next thing that is told: the heal itself is not.
	if err := f.client.Delete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if s := f.next(t); s.Type != drift.Gone {
		t.Errorf("got %+v, want the deletion", s)
	}
}

func TestClusterFingerprintsTellUnchangedAfterARestart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for kind, live := range f.live {
		id := inventory.ID{Namespace: f.namespace, Name: "a", GroupKind: live.GroupVersionKind().GroupKind()}
		got, found := f.watcher.Fingerprint(group, id)
		if want := apply.Fingerprint([]byte("key"), manager, live); !found || got != want || got == "" {
			t.Errorf("%s: the watch says %q (%v), the apply said %q", kind, got, found, want)
		}
	}
	if _, found := f.watcher.Fingerprint(group, inventory.ID{Name: "none", GroupKind: schema.GroupKind{Kind: "ConfigMap"}}); found {
		t.Error("an object that does not exist was found")
	}
	f.watcher.SetKinds(nil)
	if f.watcher.Synced(group, schema.GroupKind{Kind: "ConfigMap"}) {
		t.Error("a kind that is no longer watched is synced")
	}
}
