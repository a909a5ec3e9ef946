package fingerprint

import (
	"maps"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/completion"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

func TestUnchanged(t *testing.T) {
	id := inventory.ID{Namespace: "apps", Name: "web"}
	key := id.String()
	for name, tc := range map[string]struct {
		reason  string
		set     Set
		content string
		live    string
		found   bool
		asLeft  bool
		want    bool
		moved   bool
	}{
		"as left":       {"both sides are as remembered", Set{key: {Content: "c", Live: "l", User: "us"}}, "c", "l", true, true, true, false},
		"other content": {"something else is to be applied", Set{key: {Content: "c", Live: "l", User: "us"}}, "d", "l", true, true, false, false},
		"changed":       {"somebody changed it", Set{key: {Content: "c", Live: "l", User: "us"}}, "c", "m", true, false, false, true},
		"gone":          {"somebody deleted it", Set{key: {Content: "c", Live: "l", User: "us"}}, "c", "", false, false, false, true},
		"never applied": {"nothing is known of it", Set{}, "c", "l", true, false, false, false},
		"nothing known": {"an object without our fields has no fingerprint", Set{key: {Content: "c", Live: "", User: "us"}}, "c", "", true, false, false, false},
		"other user":    {"another account may have other rights", Set{key: {Content: "c", Live: "l", User: "them"}}, "c", "l", true, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			live := func(inventory.ID) (string, bool) { return tc.live, tc.found }
			if got := tc.set.AsLeft(id, live); got != tc.asLeft {
				t.Errorf("%s: as left %t", tc.reason, got)
			}
			if got := tc.set.Unchanged(Key{User: "us"}, map[inventory.ID]string{id: tc.content}, live)(id); got != tc.want {
				t.Errorf("%s: unchanged %t", tc.reason, got)
			}
			if got := tc.set.AllAsLeft(Key{User: "us"}, inventory.Inventory{id: "v1"}, live); got != (tc.asLeft && name != "other user") {
				t.Errorf("%s: all as left %t", tc.reason, got)
			}
			found, moved := tc.set.Moved(inventory.Inventory{id: "v1"}, live)[id]
			if moved != tc.moved || (moved && found != tc.found) {
				t.Errorf("%s: moved %t, found %t", tc.reason, moved, found)
			}
		})
	}
}

func TestDone(t *testing.T) {
	id := inventory.ID{Namespace: "apps", Name: "migrate"}
	entry := func(s completion.State) Set { return Set{id.String(): {Content: "c", Live: "l", State: s}} }
	for name, tc := range map[string]struct {
		reason  string
		set     Set
		content string
		deleted bool
		want    bool
	}{
		"done":           {"it has come to its end", entry(completion.State{Done: true}), "c", false, true},
		"other content":  {"it is to run once more", entry(completion.State{Done: true}), "d", false, false},
		"lasts":          {"somebody deleted it", entry(completion.State{}), "c", false, false},
		"ended":          {"its end was seen", entry(completion.State{Trait: completion.Ends, Ended: true}), "c", false, true},
		"not ended":      {"its end was not seen", entry(completion.State{Trait: completion.Ends}), "c", false, false},
		"removes itself": {"nobody saw it go", entry(completion.State{Trait: completion.Vanishes}), "c", false, true},
		"deleted before": {"it was seen to go before its end", entry(completion.State{Trait: completion.Vanishes}), "c", true, false},
		"cleared away":   {"its end was seen before it went", entry(completion.State{Trait: completion.Ends, Ended: true}), "c", true, true},
		"never applied":  {"nothing is known of it", Set{}, "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			done := tc.set.Done(map[inventory.ID]string{id: tc.content}, map[inventory.ID]bool{id: tc.deleted})
			if got := done(id); got != tc.want {
				t.Errorf("%s: done %t", tc.reason, got)
			}
		})
	}
}

// TestContentsWhateverTheUser: what is done stays done when another account applies.
func TestContentsWhateverTheUser(t *testing.T) {
	job := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"namespace": "apps", "name": "migrate"},
	}}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(job.GroupVersionKind(), meta.RESTScopeNamespace)
	applier := apply.Applier{Client: fake.NewClientBuilder().WithRESTMapper(mapper).Build(), Owner: inventory.Owner{Namespace: "apps", Name: "app"}}
	set, err := applier.Prepare([]rendering.Object{{Object: job}})
	if err != nil {
		t.Fatal(err)
	}
	one, err := Key{Secret: []byte("key"), User: "one"}.Contents(set)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Key{Secret: []byte("key"), User: "other"}.Contents(set)
	if err != nil || len(one) != 1 || !maps.Equal(one, other) {
		t.Errorf("%v: got %v as one user and %v as another", err, one, other)
	}
	for id, content := range one {
		done := Set{id.String(): {Content: content, User: "one", State: completion.State{Done: true}}}
		if !done.Done(other, nil)(id) {
			t.Error("what one user has brought to its end runs again as another")
		}
	}
}

// What is done is remembered for as long as the content is the same, and counts as being as it was left.
func TestDoneIsRemembered(t *testing.T) {
	id := inventory.ID{Namespace: "apps", Name: "migrate"}
	absent := func(inventory.ID) (string, bool) { return "", false }
	traits := map[inventory.ID]completion.Trait{id: completion.Vanishes}
	s := Set{id.String(): {Content: "c", Live: "l", State: completion.State{Trait: completion.Vanishes}}}
	finished := apply.ChangeSet{{Entry: inventory.Entry{ID: id}, Action: apply.Finished}}
	if !s.Update(Key{}, finished, map[inventory.ID]string{id: "c"}, traits) || !s.IsDone(id) {
		t.Fatalf("got %+v, want it done", s)
	}
	if s.Update(Key{}, finished, map[inventory.ID]string{id: "c"}, traits) {
		t.Error("nothing has changed")
	}
	inv := inventory.Inventory{id: "v1"}
	if len(s.Moved(inv, absent)) > 0 || !s.AllAsLeft(Key{User: "them"}, inv, absent) {
		t.Error("an object that is done is missed")
	}
	created := apply.ChangeSet{{Entry: inventory.Entry{ID: id}, Action: apply.Created, Live: &metav1.PartialObjectMetadata{}}}
	if !s.Update(Key{}, created, map[inventory.ID]string{id: "d"}, traits) || s.IsDone(id) || s.State(id).Trait != completion.Vanishes {
		t.Errorf("got %+v, want a new object with nothing behind it", s)
	}
}

func TestRetain(t *testing.T) {
	stays, left := inventory.ID{Name: "stays"}, inventory.ID{Name: "left"}
	s := Set{stays.String(): {}, left.String(): {}}
	if !s.Retain(inventory.Inventory{stays: "v1"}) || len(s) != 1 {
		t.Errorf("what is no longer applied is remembered: %v", s)
	}
	if s.Retain(inventory.Inventory{stays: "v1"}) {
		t.Error("nothing left")
	}
}
