package drift

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// live is an object of the owner flux-system/apps that we applied with the given fields.
func live(name, fields string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: name, UID: types.UID(name), ResourceVersion: fields,
		Labels:      map[string]string{"group/name": "apps", "group/namespace": "flux-system"},
		Annotations: map[string]string{"long": "text"},
		ManagedFields: []metav1.ManagedFieldsEntry{
			{Manager: "me", Operation: "Apply", FieldsV1: metav1.NewFieldsV1(fields)},
			{Manager: "other", Operation: "Update", FieldsV1: metav1.NewFieldsV1(`{"f:status":{}}`)},
		},
	}}
}

func TestStore(t *testing.T) {
	const all, less = `{"f:a":{},"f:b":{}}`, `{"f:a":{}}`
	var got []string
	names := map[Type]string{StatusChanged: "status", Changed: "changed", Gone: "gone"}
	s := &store{
		kind: Kind{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}},
		lens: Lens{OwnerGroup: "group", Manager: "me", Key: []byte("key")},
		emit: func(s Signal) { got = append(got, s.Owner.Name+": "+s.Object.ID.Name+" "+names[s.Type]) },
		seen: map[types.NamespacedName]*Seen{},
	}
	for _, step := range []struct {
		reason string
		do     func() error
		want   []string
	}{
		{"a first listing is no news", func() error { return s.Replace([]any{live("a", all), live("b", all), live("c", all)}, "1") }, nil},
		{"nor is an object that appears", func() error { return s.Add(live("d", all)) }, nil},
		{"a field was taken", func() error { return s.Update(live("a", less)) }, []string{"apps: a changed"}},
		{"it is told once", func() error { return s.Update(live("a", less)) }, nil},
		{"we took it back", func() error { return s.Update(live("a", all)) }, nil},
		{"an object is gone", func() error { return s.Delete(live("d", all)) }, []string{"apps: d gone"}},
		{"of an object that was never seen nothing is told", func() error { return s.Delete(live("x", all)) }, nil},
		{"a listing after a gap tells what was missed", func() error { return s.Replace([]any{live("a", less), live("b", all)}, "9") }, []string{"apps: a changed", "apps: c gone"}},
		{"an owner that changes is told to both", func() error {
			o := live("b", less)
			o.Labels["group/name"] = "thief"
			return s.Update(o)
		}, []string{"apps: b changed", "thief: b changed"}},
		{"half an owner is none: only the one before is told", func() error {
			o := live("b", all)
			delete(o.Labels, "group/namespace")
			o.ManagedFields = nil
			return s.Update(o)
		}, []string{"thief: b changed"}},
	} {
		got = nil
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.reason, err)
		}
		if diff := cmp.Diff(step.want, got, cmp.Transformer("sort", sorted)); diff != "" {
			t.Errorf("%s:\n%s", step.reason, diff)
		}
	}
	for _, do := range []func() error{
		func() error { return s.Update("nonsense") },
		func() error { return s.Delete(nil) },
		func() error { return s.Replace([]any{1}, "") },
	} {
		if do() == nil {
			t.Error("something else than metadata was taken")
		}
	}
}

func sorted(lines []string) map[string]int {
	counts := map[string]int{}
	for _, line := range lines {
		counts[line]++
	}
	return counts
}

func TestTransformerKeepsFingerprints(t *testing.T) {
	s := &store{lens: Lens{OwnerGroup: "group", Manager: "me", Key: []byte("key")}}
	before := s.lens.See(live("a", `{"f:a":{}}`))
	reduced, err := s.Transformer()(live("a", `{"f:a":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	o, ok := reduced.(*metav1.PartialObjectMetadata)
	if !ok || o.Annotations != nil || o.ManagedFields[1].FieldsV1 != nil {
		t.Fatalf("got %+v, want what is not needed dropped", reduced)
	}
	if diff := cmp.Diff(before, s.lens.See(o)); diff != "" {
		t.Errorf("what is seen of the reduced object differs:\n%s", diff)
	}
	if text, err := s.Transformer()("text"); text != "text" || err != nil {
		t.Errorf("got %v, %v: what is no metadata passes", text, err)
	}
}
