package heal

import (
	"context"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/completion"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/fingerprint"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

var (
	configMaps = schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	jobs       = schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}
)

// cluster is an Applier to a cluster without objects: it notes what it would make.
type cluster struct {
	*apply.Applier
	made map[string]bool
}

func (c cluster) Apply(_ context.Context, set apply.Set, o apply.Options) (apply.ChangeSet, error) {
	var changes apply.ChangeSet
	for id := range set.Inventory() {
		action := apply.Finished
		if o.Done == nil || !o.Done(id) {
			action, c.made[id.Name] = apply.Created, true
		}
		changes = append(changes, apply.Change{Entry: inventory.Entry{ID: id}, Action: action})
	}
	return changes, nil
}

func idOf(kind schema.GroupVersionKind, name string) inventory.ID {
	return inventory.ID{Namespace: "apps", Name: name, GroupKind: kind.GroupKind()}
}

// input is a correction in an empty cluster of objects that were applied and are remembered with these states. It returns
// what is made, too.
func input(t *testing.T, states map[inventory.ID]completion.State, signals ...drift.Signal) (Input, map[string]bool) {
	t.Helper()
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(configMaps, meta.RESTScopeNamespace)
	mapper.Add(jobs, meta.RESTScopeNamespace)
	reader := fake.NewClientBuilder().WithRESTMapper(mapper).Build()
	by := cluster{
		Applier: &apply.Applier{Client: reader, Owner: inventory.Owner{Group: "group", Namespace: "apps", Name: "app"}},
		made:    map[string]bool{},
	}
	var content rendering.Content
	for id := range states {
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(id.GroupKind.WithVersion("v1"))
		o.SetNamespace(id.Namespace)
		o.SetName(id.Name)
		content.Objects = append(content.Objects, rendering.Object{Object: o})
	}
	in := Input{
		Signals:      map[inventory.ID]drift.Signal{},
		Content:      func() (rendering.Content, error) { return content, nil },
		Applier:      func() (Applier, error) { return by, nil },
		Reader:       func() (client.Reader, error) { return reader, nil },
		Ours:         func(id inventory.ID) bool { _, ours := states[id]; return ours },
		Fingerprints: fingerprint.Set{},
		Key:          fingerprint.Key{Secret: []byte("key")},
		Save:         func() error { return nil },
		Contentions:  drift.Contentions{},
		Now:          time.Unix(1, 0),
	}
	set, err := by.Prepare(content.Objects)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := in.Key.Contents(set)
	if err != nil {
		t.Fatal(err)
	}
	for id, state := range states {
		in.Fingerprints[id.String()] = fingerprint.Entry{Content: contents[id], Live: "l", State: state}
	}
	for _, s := range signals {
		in.Signals[s.Object.ID] = s
	}
	return in, by.made
}

// TestDoneIsNotMade: whatever is signalled of an object, it is not made again once it has come to its end.
func TestDoneIsNotMade(t *testing.T) {
	id := idOf(jobs, "migrate")
	for name, c := range map[string]struct {
		reason string
		state  completion.State
		signal drift.Signal
		made   bool
	}{
		"handed over, done":    {"it is done for whoever holds it", completion.State{Done: true}, drift.Signal{Type: drift.Changed}, false},
		"handed over, ended":   {"its end was seen", completion.State{Ended: true}, drift.Signal{Type: drift.Changed}, false},
		"handed over, missing": {"it has to be there", completion.State{}, drift.Signal{Type: drift.Changed}, true},
		"gone, ended":          {"its last metadata say so", completion.State{}, drift.Signal{Type: drift.Gone, Ended: true}, false},
		"gone before its end":  {"somebody deleted it", completion.State{Trait: completion.Vanishes}, drift.Signal{Type: drift.Gone}, true},
	} {
		t.Run(name, func(t *testing.T) {
			c.signal.Object = inventory.Entry{ID: id, Version: "v1"}
			in, made := input(t, map[inventory.ID]completion.State{id: c.state}, c.signal)
			out, err := Correct(t.Context(), in)
			if err != nil || out.Err != nil {
				t.Fatal(err, out.Err)
			}
			if made[id.Name] != c.made || (len(out.Corrections) == 1) != c.made || in.Fingerprints.IsDone(id) == c.made {
				t.Errorf("%s: made %v, corrections %v, done %v", c.reason, made, out.Corrections, in.Fingerprints.IsDone(id))
			}
		})
	}
}

// TestUnreadableKeepsNothingElse: of objects that are gone at once, one that cannot be looked up does not keep the others from
// being made again.
func TestUnreadableKeepsNothingElse(t *testing.T) {
	job, one, two := idOf(jobs, "migrate"), idOf(configMaps, "one"), idOf(configMaps, "two")
	signal := func(id inventory.ID, kind drift.Type, ended bool) drift.Signal {
		return drift.Signal{Object: inventory.Entry{ID: id, Version: "v1"}, Type: kind, Ended: ended}
	}
	in, made := input(t, map[inventory.ID]completion.State{job: {}, one: {}, two: {}},
		signal(job, drift.Gone, true), signal(one, drift.Gone, false), signal(two, drift.Changed, false))
	in.Reader = func() (client.Reader, error) { return unreadable{}, nil }
	out, err := Correct(t.Context(), in)
	if err != nil || !apierrors.IsForbidden(out.Err) {
		t.Fatal(err, out.Err)
	}
	if _, refused := out.Refused[job]; !refused || len(out.Refused) != 1 || in.Contentions[job] == nil {
		t.Errorf("refused %v, want what cannot be looked up", out.Refused)
	}
	if len(made) != 2 || made[job.Name] || len(out.Corrections) != 2 {
		t.Errorf("made %v, want the others", made)
	}
}

// unreadable is a reader that may read nothing.
type unreadable struct{ client.Reader }

func (unreadable) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewForbidden(schema.GroupResource{}, key.Name, nil)
}
