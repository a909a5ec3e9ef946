package drift_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

func signal(owner, object string, kind drift.Type, manager string) drift.Signal {
	return drift.Signal{
		Owner:   inventory.Owner{Name: owner},
		Object:  inventory.Entry{ID: inventory.ID{Name: object}},
		Type:    kind,
		Manager: manager,
	}
}

// told is a signal that says whether the object has ended.
func told(object string, kind drift.Type, ended bool) drift.Signal {
	s := signal("o", object, kind, "")
	s.Ended = ended
	return s
}

// TestEndsAreTheLastWord: a Job that looked ended and runs again has not ended.
func TestEndsAreTheLastWord(t *testing.T) {
	var p drift.Pending
	for _, ended := range []bool{false, true, false} {
		p.Put(told("a", drift.StatusChanged, ended))
	}
	p.Put(told("b", drift.StatusChanged, false))
	p.Put(told("b", drift.StatusChanged, true))
	p.LookFor(inventory.ID{Name: "b"}, inventory.ID{Name: "c"}) // what is told already stays
	want := map[inventory.ID]bool{{Name: "a"}: false, {Name: "b"}: true, {Name: "c"}: false}
	if diff := cmp.Diff(want, p.TakeEnds()); diff != "" {
		t.Error(diff)
	}
	if left := p.TakeEnds(); len(left) > 0 {
		t.Errorf("%v are told twice", left)
	}
}

func TestQueue(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		limit  int
		put    []drift.Signal
		want   []drift.Signal
	}{
		"order": {
			reason: "the oldest comes first",
			limit:  10,
			put:    []drift.Signal{signal("o", "b", drift.Gone, ""), signal("o", "a", drift.Gone, "")},
			want:   []drift.Signal{signal("o", "b", drift.Gone, ""), signal("o", "a", drift.Gone, "")},
		},
		"merged": {
			reason: "of two for one object the weightier stands, at the place of the first",
			limit:  10,
			put: []drift.Signal{
				signal("o", "a", drift.StatusChanged, ""), signal("o", "b", drift.StatusChanged, ""),
				signal("o", "a", drift.Changed, "kubectl"), signal("o", "a", drift.StatusChanged, "x"),
			},
			want: []drift.Signal{signal("o", "a", drift.Changed, "kubectl"), signal("o", "b", drift.StatusChanged, "")},
		},
		"ended": {
			reason: "the later one knows whether it has ended",
			limit:  10,
			put: []drift.Signal{
				told("a", drift.StatusChanged, true), told("a", drift.StatusChanged, false),
				told("b", drift.StatusChanged, true), told("b", drift.Gone, false),
				told("c", drift.StatusChanged, false), told("c", drift.Gone, true),
				told("d", drift.Gone, true), told("d", drift.StatusChanged, false),
			},
			want: []drift.Signal{
				told("a", drift.StatusChanged, false), told("b", drift.Gone, false), told("c", drift.Gone, true), told("d", drift.Gone, true),
			},
		},
		"nothing": {
			reason: "a signal of nothing is none",
			limit:  10,
			put:    []drift.Signal{signal("o", "a", drift.None, "")},
		},
		"folded": {
			reason: "above the limit there is one signal per owner, for all its objects",
			limit:  1,
			put: []drift.Signal{
				signal("o", "a", drift.Gone, ""), signal("o", "b", drift.StatusChanged, "x"), signal("o", "c", drift.Gone, "y"),
				signal("p", "a", drift.Changed, "z"), signal("o", "a", drift.Gone, ""),
			},
			want: []drift.Signal{
				signal("o", "a", drift.Gone, ""), signal("o", "", drift.Gone, ""), signal("p", "", drift.Changed, ""),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			queue := drift.NewQueue(c.limit)
			for _, s := range c.put {
				queue.Put(s)
			}
			var got []drift.Signal
			for queue.Len() > 0 {
				s, err := queue.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, s)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s:\n%s", c.reason, diff)
			}
		})
	}
}

func TestQueueNextWaits(t *testing.T) {
	queue := drift.NewQueue(10)
	taken := make(chan drift.Signal)
	for range 2 {
		go func() {
			s, _ := queue.Next(t.Context())
			taken <- s
		}()
	}
	queue.Put(signal("o", "a", drift.Gone, ""))
	queue.Put(signal("o", "b", drift.Gone, ""))
	if first, second := <-taken, <-taken; first.Object == second.Object {
		t.Errorf("both takers got %v", first)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := queue.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context ended", err)
	}
}
