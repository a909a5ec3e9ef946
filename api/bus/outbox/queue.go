package outbox

import (
	"time"

	"github.com/sluice-gitops/sluice/api/event"
)

// queueItem is one event that waits.
type queueItem struct {
	object string
	env    event.Envelope
	queued time.Time
}

// added and its siblings say what became of an item.
type addResult int

const (
	added          addResult = iota // it waits, or the same id waited already
	addedCollapsed                  // it waits, and an older one of the object was given up
	refusedFull                     // it was not taken
)

// queue has what waits, by object, and hands it out one per object at a time. It is not safe for concurrent use.
type queue struct {
	perObject, total int
	size             int
	objects          map[string]*objectQueue
	ready            []string // objects with something to publish that nobody publishes, the longest waiting first
}

type objectQueue struct {
	items    []queueItem
	inFlight bool // items[0] is being published
}

func newQueue(perObject, total int) *queue {
	return &queue{perObject: perObject, total: total, objects: map[string]*objectQueue{}}
}

func (q *queue) add(item queueItem) addResult {
	object, ok := q.objects[item.object]
	if !ok {
		if q.size >= q.total {
			return refusedFull
		}
		q.objects[item.object] = &objectQueue{items: []queueItem{item}}
		q.ready = append(q.ready, item.object)
		q.size++
		return added
	}
	for _, waiting := range object.items {
		if waiting.env.ID == item.env.ID {
			return added
		}
	}
	first := 0 // the oldest that may be given up
	if object.inFlight {
		first = 1
	}
	waiting := len(object.items) - first
	if waiting < q.perObject && q.size < q.total {
		object.items = append(object.items, item)
		q.size++
		return added
	}
	if waiting == 0 {
		return refusedFull
	}
	object.items = append(append(object.items[:first:first], object.items[first+1:]...), item)
	return addedCollapsed
}

// take hands out the next item and keeps its object from others until release.
func (q *queue) take() (queueItem, bool) {
	if len(q.ready) == 0 {
		return queueItem{}, false
	}
	name := q.ready[0]
	q.ready = q.ready[1:]
	object := q.objects[name]
	object.inFlight = true
	return object.items[0], true
}

// release ends what take began. What is not finished comes again, after the other objects that are ready.
func (q *queue) release(name string, finished bool) {
	object := q.objects[name]
	object.inFlight = false
	if finished {
		object.items = object.items[1:]
		q.size--
	}
	if len(object.items) == 0 {
		delete(q.objects, name)
		return
	}
	q.ready = append(q.ready, name)
}

func (q *queue) oldest() (time.Time, bool) {
	var oldest time.Time
	found := false
	for _, object := range q.objects {
		if queued := object.items[0].queued; !found || queued.Before(oldest) {
			oldest, found = queued, true
		}
	}
	return oldest, found
}

// recentIDs remembers the latest ids that were added. It is not safe for concurrent use.
type recentIDs struct {
	known map[string]struct{}
	ring  []string
	next  int
}

func newRecentIDs(size int) *recentIDs {
	return &recentIDs{known: map[string]struct{}{}, ring: make([]string, size)}
}

func (r *recentIDs) has(id string) bool {
	_, ok := r.known[id]
	return ok
}

func (r *recentIDs) add(id string) {
	if r.has(id) {
		return
	}
	delete(r.known, r.ring[r.next])
	r.ring[r.next] = id
	r.known[id] = struct{}{}
	r.next = (r.next + 1) % len(r.ring)
}

func (r *recentIDs) clear() {
	clear(r.known)
	clear(r.ring)
}
