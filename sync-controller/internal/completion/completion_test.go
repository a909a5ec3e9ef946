package completion_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-gitops/sluice/sync-controller/internal/completion"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTraitOf(t *testing.T) {
	for name, c := range map[string]struct {
		reason, object string
		want           completion.Trait
	}{
		"Job":                {"it stays when it has finished", "{apiVersion: batch/v1, kind: Job, spec: {}}", completion.Ends},
		"Job with a TTL":     {"it removes itself", "{apiVersion: batch/v1, kind: Job, spec: {ttlSecondsAfterFinished: 0}}", completion.Vanishes},
		"Pod":                {"it is restarted for ever", "{apiVersion: v1, kind: Pod, spec: {}}", completion.Lasts},
		"Pod that runs once": {"it is not restarted", "{apiVersion: v1, kind: Pod, spec: {restartPolicy: Never}}", completion.Ends},
		"Pod until success":  {"it is not restarted after that", "{apiVersion: v1, kind: Pod, spec: {restartPolicy: OnFailure}}", completion.Ends},
		"workflow":           {"its controller removes it", "{apiVersion: argoproj.io/v1alpha1, kind: Workflow, spec: {ttlStrategy: {}}}", completion.Vanishes},
		"older workflow":     {"its controller removes it", "{apiVersion: argoproj.io/v1alpha1, kind: Workflow, spec: {ttlSecondsAfterCompletion: 1}}", completion.Vanishes},
		"DNS record":         {"its time to live is that of an answer", "{apiVersion: dns.example.org/v1, kind: Record, spec: {ttl: 300}}", completion.Lasts},
		"cache":              {"its time to live is that of entries", "{apiVersion: example.org/v1, kind: Cache, spec: {ttlSeconds: 1}}", completion.Lasts},
		"Deployment":         {"it lasts", "{apiVersion: apps/v1, kind: Deployment, spec: {}}", completion.Lasts},
		"without spec":       {"it lasts", "{apiVersion: v1, kind: ConfigMap, data: {ttl: x}}", completion.Lasts},
	} {
		t.Run(name, func(t *testing.T) {
			if got := completion.TraitOf(parse(t, c.object)); got != c.want {
				t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
			}
		})
	}
}

func TestGone(t *testing.T) {
	for name, c := range map[string]struct {
		reason    string
		before    completion.State
		kind      string
		departure completion.Departure
		done      bool
	}{
		"deleted": {reason: "somebody deleted it: it is healed"},
		"deleted before it ended": {
			reason: "it has not run to its end", before: completion.State{Trait: completion.Vanishes},
		},
		"removed itself": {
			reason: "it was done", before: completion.State{Trait: completion.Vanishes}, departure: completion.Departure{Ended: true}, done: true,
		},
		"cleared away after its end": {
			reason: "it was done, whoever deletes it", before: completion.State{Trait: completion.Ends, Ended: true}, done: true,
		},
		"removed itself unseen": {
			reason: "to run it twice does more harm", before: completion.State{Trait: completion.Vanishes},
			departure: completion.Departure{Unseen: true}, done: true,
		},
		"deleted unseen": {
			reason: "it does not remove itself", before: completion.State{Trait: completion.Ends}, departure: completion.Departure{Unseen: true},
		},
		"Job that looked ended": {
			reason: "its last metadata know better: it was trying again", kind: "Job", before: completion.State{Trait: completion.Ends, Ended: true},
		},
		"Job that ended": {
			reason: "its last metadata say so", kind: "Job", before: completion.State{Trait: completion.Ends},
			departure: completion.Departure{Ended: true}, done: true,
		},
		"Job that ended, cleared away unseen": {
			reason: "there are no last metadata, and its end was seen", kind: "Job", before: completion.State{Trait: completion.Ends, Ended: true},
			departure: completion.Departure{Unseen: true}, done: true,
		},
		"collected": {reason: "it went with its owner", departure: completion.Departure{Collected: true}, done: true},
	} {
		t.Run(name, func(t *testing.T) {
			kind := schema.GroupKind{Group: "batch", Kind: c.kind}
			if got := c.before.Gone(kind, c.departure); got.Done != c.done || got.Trait != c.before.Trait {
				t.Errorf("%s: got %+v, want done %v", c.reason, got, c.done)
			}
		})
	}
}

// objects is a reader of the objects that there are, by kind and name.
type objects map[string]*unstructured.Unstructured

func (o objects) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	kind := into.GetObjectKind().GroupVersionKind()
	found, ok := o[kind.Kind+"/"+key.Name]
	switch {
	case kind.Kind == "Removed":
		return &meta.NoKindMatchError{GroupKind: kind.GroupKind()}
	case key.Name == "unreadable":
		return apierrors.NewForbidden(schema.GroupResource{}, key.Name, nil)
	case !ok:
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	switch target := into.(type) {
	case *unstructured.Unstructured:
		target.Object = found.Object
	case *metav1.PartialObjectMetadata:
		target.UID, target.DeletionTimestamp = found.GetUID(), found.GetDeletionTimestamp()
	}
	return nil
}

func (objects) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

func entry(kind, name string) inventory.Entry {
	id := inventory.ID{Namespace: "apps", Name: name, GroupKind: schema.GroupKind{Group: "example.org", Kind: kind}}
	return inventory.Entry{ID: id, Version: "v1"}
}

func TestEnded(t *testing.T) {
	there := objects{}
	want := map[inventory.ID]bool{}
	var look []inventory.Entry
	for name, c := range map[string]struct {
		status string
		ended  bool
	}{
		"running": {"{phase: Running}", false}, "succeeded": {"{phase: Succeeded}", true}, "failed": {"{phase: Failed}", true},
		"none": {"{}", false}, "not-finished": {"{finishedAt: null}", false}, "finished": {"{finishedAt: '2026-01-01T00:00:00Z'}", true},
		"completed": {"{completionTime: '2026-01-01T00:00:00Z'}", true}, "expired": {"{phase: Completed}", true},
	} {
		there["Thing/"+name] = parse(t, "{apiVersion: example.org/v1, kind: Thing, status: "+c.status+"}")
		look = append(look, entry("Thing", name))
		if c.ended {
			want[entry("Thing", name).ID] = true
		}
	}
	look = append(look, entry("Thing", "gone"), entry("Removed", "kind"), entry("Thing", "unreadable"))
	found, unread := completion.Ended(t.Context(), there, look)
	got := map[inventory.ID]bool{}
	for _, id := range found {
		got[id] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, told := unread[entry("Thing", "unreadable").ID]; !told || len(unread) != 1 {
		t.Errorf("got %v, want the one that cannot be read", unread)
	}
}

func TestDone(t *testing.T) {
	owner := func(name, uid string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: "example.org/v1", Kind: "Owner", Name: name, UID: types.UID(uid)}}
	}
	there := objects{
		"Owner/there":      parse(t, "{metadata: {uid: a}}"),
		"Owner/leaving":    parse(t, "{metadata: {uid: a, deletionTimestamp: '2026-01-01T00:00:00Z'}}"),
		"Thing/relabelled": parse(t, "{metadata: {uid: a}}"),
	}
	for name, c := range map[string]struct {
		reason   string
		departed completion.Departed
		done     bool
	}{
		"done":            {"it had ended", completion.Departed{Departure: completion.Departure{Ended: true}}, true},
		"deleted":         {"by hand", completion.Departed{}, false},
		"relabelled":      {"a watch calls gone what has lost its label", completion.Departed{Departure: completion.Departure{Ended: true}}, false},
		"collected":       {"its owner is gone", completion.Departed{Owners: owner("gone", "a")}, true},
		"collected first": {"its owner waits until it is gone", completion.Departed{Owners: owner("leaving", "a")}, true},
		"another owner":   {"the owner of that name is another one", completion.Departed{Owners: owner("there", "b")}, true},
		"owned":           {"its owner is there", completion.Departed{Owners: owner("there", "a")}, false},
		"one of two":      {"one owner is enough", completion.Departed{Owners: append(owner("gone", "a"), owner("there", "a")...)}, false},
		"our own owner":   {"it is made again, and so is what it owns", completion.Departed{Owners: owner("ours", "a")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.departed.Entry = entry("Thing", name)
			ours := func(id inventory.ID) bool { return id == entry("Owner", "ours").ID }
			done, unread := completion.Done(t.Context(), there, []completion.Departed{c.departed}, ours)
			if _, got := done[c.departed.ID]; got != c.done || len(unread) > 0 {
				t.Errorf("%s: got %v, %v", c.reason, done, unread)
			}
		})
	}
}

// TestUnreadKeepsNothingElse: of departed objects one that cannot be read is told apart, and one whose kind is gone is not done.
func TestUnreadKeepsNothingElse(t *testing.T) {
	var departed []completion.Departed
	for _, e := range []inventory.Entry{entry("Thing", "unreadable"), entry("Removed", "kind"), entry("Thing", "ended")} {
		departed = append(departed, completion.Departed{Entry: e, Departure: completion.Departure{Ended: true}})
	}
	done, unread := completion.Done(t.Context(), objects{}, departed, func(inventory.ID) bool { return false })
	if _, ended := done[entry("Thing", "ended").ID]; !ended || len(done) != 1 {
		t.Errorf("done: %v, want the one that has ended", done)
	}
	if _, told := unread[entry("Thing", "unreadable").ID]; !told || len(unread) != 1 || !apierrors.IsForbidden(unread.Err()) {
		t.Errorf("unread: %v, want the one that cannot be read", unread)
	}
}
