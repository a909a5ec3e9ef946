package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal(data, &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestFingerprint(t *testing.T) {
	key := []byte("key")
	at := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	live := func(change func(o *metav1.PartialObjectMetadata, ours *metav1.ManagedFieldsEntry)) *metav1.PartialObjectMetadata {
		o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{UID: "1", ResourceVersion: "1", ManagedFields: []metav1.ManagedFieldsEntry{
			{Manager: "other", Operation: "Update", APIVersion: "v1", FieldsV1: metav1.NewFieldsV1(`{"f:status":{}}`)},
			{Manager: "me", Operation: "Apply", APIVersion: "v1", Time: &at, FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:b":{},"f:a":{}}}`)},
		}}}
		if change != nil {
			change(o, &o.ManagedFields[1])
		}
		return o
	}
	base := Fingerprint(key, "me", live(nil))
	for name, c := range map[string]struct {
		reason string
		change func(o *metav1.PartialObjectMetadata, ours *metav1.ManagedFieldsEntry)
		same   bool
	}{
		"resource version": {"others write, too", func(o *metav1.PartialObjectMetadata, _ *metav1.ManagedFieldsEntry) { o.ResourceVersion = "2" }, true},
		"other manager":    {"their fields are theirs", func(o *metav1.PartialObjectMetadata, _ *metav1.ManagedFieldsEntry) { o.ManagedFields[0].FieldsV1 = nil }, true},
		"order": {"encoders order fields differently", func(_ *metav1.PartialObjectMetadata, e *metav1.ManagedFieldsEntry) {
			e.FieldsV1.SetRawBytes([]byte(`{"f:data": {"f:a":{},"f:b":{}}}`))
		}, true},
		"time zone": {"a moment is a moment", func(_ *metav1.PartialObjectMetadata, e *metav1.ManagedFieldsEntry) {
			e.Time = &metav1.Time{Time: at.In(time.FixedZone("x", 3600))}
		}, true},
		"field taken": {"somebody has changed a value", func(_ *metav1.PartialObjectMetadata, e *metav1.ManagedFieldsEntry) {
			e.FieldsV1.SetRawBytes([]byte(`{"f:data":{"f:a":{}}}`))
		}, false},
		"applied again": {"something else was applied", func(_ *metav1.PartialObjectMetadata, e *metav1.ManagedFieldsEntry) {
			e.Time = &metav1.Time{Time: at.Add(time.Second)}
		}, false},
		"another object": {"it was recreated", func(o *metav1.PartialObjectMetadata, _ *metav1.ManagedFieldsEntry) { o.UID = "2" }, false},
		"no stamp":       {"an entry without a time is another one", func(_ *metav1.PartialObjectMetadata, e *metav1.ManagedFieldsEntry) { e.Time = nil }, false},
		"damaged": {"what is no JSON is compared as it is", func(_ *metav1.PartialObjectMetadata, e *metav1.ManagedFieldsEntry) {
			e.FieldsV1.SetRawBytes([]byte(`{`))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Fingerprint(key, "me", live(c.change)); got == "" || got == base != c.same {
				t.Errorf("%s: the same is %v, want %v", c.reason, got == base, c.same)
			}
		})
	}
	if Fingerprint([]byte("other key"), "me", live(nil)) == base {
		t.Error("the key makes no difference")
	}
	if got := Fingerprint(key, "nobody", live(nil)) + Fingerprint(key, "me", nil); got != "" {
		t.Errorf("got %q for what nobody applied, want nothing", got)
	}
}

func TestContentMACs(t *testing.T) {
	set := func(data string) Set {
		o := parse(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ns}, data: {k: "+data+"}}")
		return Set{items: []item{{entry: inventory.EntryOf(o), desired: o}}}
	}
	mac := func(s Set, key string) string {
		macs, err := s.ContentMACs([]byte(key))
		if err != nil || len(macs) != 1 {
			t.Fatal(macs, err)
		}
		return macs[s.items[0].entry.ID]
	}
	one := mac(set("a"), "key")
	if one != mac(set("a"), "key") || one == mac(set("b"), "key") || one == mac(set("a"), "other") {
		t.Error("a content MAC has to be that of a content under a key")
	}
}

func TestPrepare(t *testing.T) {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}, meta.RESTScopeRoot)
	applier := &Applier{
		Client: mapped{mapper: mapper},
		Owner:  inventory.Owner{Group: "kustomize.toolkit.fluxcd.io", Namespace: "flux-system", Name: "apps"},
	}
	const owned = "labels: {kustomize.toolkit.fluxcd.io/name: apps, kustomize.toolkit.fluxcd.io/namespace: flux-system}"
	for name, c := range map[string]struct {
		reason  string
		objects []string
		want    []string
		wantErr string
	}{
		"labelled": {
			reason:  "the owner's labels are set, and win",
			objects: []string{"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ns, labels: {kustomize.toolkit.fluxcd.io/name: other}}}"},
			want:    []string{"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ns, " + owned + "}}"},
		},
		"cluster scoped": {
			reason:  "a namespace that the API server would drop is dropped",
			objects: []string{"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a, namespace: ns}}"},
			want:    []string{"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a, " + owned + "}}"},
		},
		"server's fields": {
			reason:  "what only the API server may set is not applied",
			objects: []string{"{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: ns, uid: x, resourceVersion: '1', creationTimestamp: null}, stringData: {k: v}}"},
			want:    []string{"{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: ns, " + owned + "}, data: {k: dg==}}"},
		},
		"sorted": {
			reason: "in the order of application",
			objects: []string{
				"{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: ns}}",
				"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ns}}",
			},
			want: []string{
				"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ns, " + owned + "}}",
				"{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: ns, " + owned + "}}",
			},
		},
		"twice": {
			reason: "which of them is meant?",
			objects: []string{
				"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ns}}",
				"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ns}, data: {a: b}}",
			},
			wantErr: "ConfigMap/ns/a is declared twice",
		},
		"not an object": {reason: "no name", objects: []string{"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: ns}}"}, wantErr: "is not a Kubernetes object"},
		"label": {
			reason:  "YAML made a boolean of it; the value is not repeated",
			objects: []string{"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ns, labels: {a: true}}}"},
			wantErr: "every value in metadata.labels has to be a string",
		},
	} {
		t.Run(name, func(t *testing.T) {
			objects := make([]rendering.Object, len(c.objects))
			for i, text := range c.objects {
				objects[i].Object = parse(t, text)
			}
			set, err := applier.Prepare(objects)
			if c.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Errorf("%s: got error %v, want %q", c.reason, err, c.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", c.reason, err)
			}
			for i, it := range set.items {
				if diff := cmp.Diff(parse(t, c.want[i]).Object, it.desired.Object); diff != "" {
					t.Errorf("%s:\n%s", c.reason, diff)
				}
			}
			if len(set.Inventory()) != len(c.want) || set.Len() != len(c.want) {
				t.Errorf("%s: the inventory is %v", c.reason, set.Inventory())
			}
		})
	}
	if _, err := applier.Prepare(make([]rendering.Object, 1)); err == nil {
		t.Error("an empty object was taken")
	}
}

// mapped is a client that only knows kinds.
type mapped struct {
	client.Client
	mapper meta.RESTMapper
}

func (m mapped) RESTMapper() meta.RESTMapper { return m.mapper }

func TestError(t *testing.T) {
	failures := make([]Failure, 12)
	for i := range failures {
		failures[i].Message = fmt.Sprintf("ConfigMap/ns/%d is wrong", i)
	}
	for name, c := range map[string]struct {
		reason string
		err    Error
		want   string
	}{
		"one":  {"a single failure speaks for itself", Error{Failures: failures[:1]}, "ConfigMap/ns/0 is wrong"},
		"two":  {"nothing was written", Error{Stage: stageResources, Failures: failures[:2]}, "2 objects cannot be applied, so none of their stage (resources) was\nConfigMap/ns/0 is wrong\nConfigMap/ns/1 is wrong"},
		"late": {"something was written", Error{Stage: stageResources, Written: true, Failures: failures[:2]}, "2 objects cannot be applied\nConfigMap/ns/0 is wrong\nConfigMap/ns/1 is wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.err.Error()); diff != "" {
				t.Errorf("%s:\n%s", c.reason, diff)
			}
		})
	}
	if text := (&Error{Failures: failures}).Error(); !strings.HasSuffix(text, "ConfigMap/ns/9 is wrong\nand 2 more") {
		t.Errorf("a long list is not cut: %s", text)
	}
}

func TestBrief(t *testing.T) {
	dump := strings.Repeat("x", 5000)
	long := apierrors.NewInvalid(schema.GroupKind{Group: "batch", Kind: "Job"}, "a", nil)
	long.ErrStatus.Details.Causes = []metav1.StatusCause{{Field: "spec.template", Message: "Invalid value: {" + dump + "}: field is immutable"}}
	got := brief(long).Error()
	if len(got) > 400 || !strings.Contains(got, "spec.template: Invalid value: {x") || !strings.HasSuffix(got, "field is immutable") {
		t.Errorf("got %q, want the field, and what is wrong with it", got)
	}
	for _, err := range []error{errors.New("cut"), apierrors.NewNotFound(schema.GroupResource{}, "a"), apierrors.NewInvalid(schema.GroupKind{}, "a", nil)} {
		if brief(err).Error() != err.Error() {
			t.Errorf("%v was changed", err)
		}
	}
}

func TestChangeSet(t *testing.T) {
	change := func(name string, action Action) Change {
		id := inventory.ID{Namespace: "ns", Name: name, GroupKind: schema.GroupKind{Kind: "ConfigMap"}}
		return Change{Entry: inventory.Entry{ID: id}, Action: action}
	}
	set := ChangeSet{change("a", Created), change("b", Unchanged), change("c", Skipped), change("d", Configured), change("e", Deleted)}
	want := []string{"ConfigMap/ns/a created", "ConfigMap/ns/d configured"}
	if diff := cmp.Diff(want, set.Changed().Lines(2)); diff != "" {
		t.Errorf("what was changed, no more than the limit:\n%s", diff)
	}
	if set.Count(Unchanged) != 1 || ChangeSet(nil).Changed().Lines(10) == nil {
		t.Error("want one unchanged, and an empty list of no changes")
	}
}
