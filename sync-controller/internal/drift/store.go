package drift

import (
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/sluice-gitops/sluice/sync-controller/internal/completion"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// store is where a reflector puts the objects of one kind: it keeps what was [Seen] of them, classifies every step and
// emits signals. It is safe for concurrent use.
type store struct {
	kind          Kind
	lens          Lens
	statusMatters bool
	emit          func(Signal)

	mu sync.Mutex
	// listed says that the objects have been listed, deaf that nothing is heard of them since: the last attempt to list or
	// watch them failed.
	listed, deaf bool
	seen         map[types.NamespacedName]*Seen
}

var _ cache.TransformingStore = (*store)(nil)

// Transformer lets the reflector drop what is not needed before it collects a first listing.
func (s *store) Transformer() cache.TransformFunc {
	return func(o any) (any, error) {
		live, ok := o.(*metav1.PartialObjectMetadata)
		if !ok {
			return o, nil
		}
		live.Annotations, live.Finalizers = nil, nil
		for i, e := range live.ManagedFields {
			tells := completion.MetadataTell(s.lens.Kind) && e.Subresource == statusSubresource
			if e.Manager != s.lens.Manager && !tells {
				live.ManagedFields[i].FieldsV1 = nil
			}
		}
		return live, nil
	}
}

// Add is called for an object that appears.
func (s *store) Add(o any) error { return s.Update(o) }

// Update is called for every version of an object.
func (s *store) Update(o any) error {
	live, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return unexpected(o)
	}
	now := s.lens.See(live)
	s.mu.Lock()
	old := s.seen[key(live)]
	s.seen[key(live)] = now
	s.mu.Unlock()
	s.report(key(live), old, now, Classify(old, now))
	return nil
}

// Delete is called for an object that was deleted, or that lost its label.
func (s *store) Delete(o any) error {
	live, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return unexpected(o)
	}
	s.mu.Lock()
	old := s.seen[key(live)]
	delete(s.seen, key(live))
	s.mu.Unlock()
	if old != nil {
		last := s.lens.See(live)
		last.Owner = old.Owner // it may be the label that was taken off
		s.gone(key(live), last, false)
	}
	return nil
}

// Replace is called with a listing: the first, and one after each gap in the watch.
func (s *store) Replace(objects []any, _ string) error {
	fresh := make(map[types.NamespacedName]*Seen, len(objects))
	for _, o := range objects {
		live, ok := o.(*metav1.PartialObjectMetadata)
		if !ok {
			return unexpected(o)
		}
		fresh[key(live)] = s.lens.See(live)
	}
	s.mu.Lock()
	before := s.seen
	s.seen, s.listed, s.deaf = fresh, true, false
	s.mu.Unlock()
	for name, old := range before {
		now, found := fresh[name]
		if !found {
			s.gone(name, old, true)
			continue
		}
		s.report(name, old, now, ClassifyGap(old, now))
	}
	return nil
}

// Resync does nothing: there is no state to repeat.
func (s *store) Resync() error { return nil }

func (s *store) report(name types.NamespacedName, old, now *Seen, v Verdict) {
	if v.Type == None || v.Type == StatusChanged && !s.statusMatters {
		return
	}
	signal := Signal{Type: v.Type, Manager: v.Manager, Ended: now.Ended}
	s.send(name, now.Owner, signal)
	if old.Owner != now.Owner {
		s.send(name, old.Owner, signal)
	}
}

func (s *store) gone(name types.NamespacedName, last *Seen, unseen bool) {
	s.send(name, last.Owner, Signal{Type: Gone, Ended: last.Ended, Unseen: unseen, Owners: last.Owners})
}

func (s *store) send(name types.NamespacedName, owner inventory.Owner, signal Signal) {
	if owner.Name == "" {
		return
	}
	id := inventory.ID{Namespace: name.Namespace, Name: name.Name, GroupKind: s.kind.GroupKind()}
	signal.Owner, signal.Object = owner, inventory.Entry{ID: id, Version: s.kind.Version}
	s.emit(signal)
}

// hear notes whether the API server lets the objects be watched. While it does not, nothing is known of them.
func (s *store) hear(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = err != nil
}

// fingerprint returns that of an object; found is false for one that does not exist, and while nothing is known.
func (s *store) fingerprint(name types.NamespacedName) (fingerprint string, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, found := s.seen[name]
	if !found || s.deaf {
		return "", false
	}
	return seen.Fingerprint, true
}

func (s *store) hasSynced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed && !s.deaf
}

func key(live *metav1.PartialObjectMetadata) types.NamespacedName {
	return types.NamespacedName{Namespace: live.Namespace, Name: live.Name}
}

func unexpected(o any) error { return fmt.Errorf("a metadata watch brought a %T", o) }
