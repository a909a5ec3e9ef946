package drift

import (
	"container/list"
	"context"
	"sync"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Queue holds the signals that nobody has taken yet: at most one per object, the weightier one. Putting never blocks. When
// as many objects wait as the limit allows, signals of further objects are folded into one per owner. It is safe for
// concurrent use.
type Queue struct {
	limit int
	// wake holds a token while there may be something to take.
	wake chan struct{}

	mu      sync.Mutex
	order   *list.List // of *Signal, oldest first
	waiting map[place]*list.Element
}

// place is what signals are merged by.
type place struct {
	owner  inventory.Owner
	object inventory.ID
}

// NewQueue returns an empty queue for at most limit objects.
func NewQueue(limit int) *Queue {
	return &Queue{
		limit:   limit,
		wake:    make(chan struct{}, 1),
		order:   list.New(),
		waiting: map[place]*list.Element{},
	}
}

// Put adds a signal.
func (q *Queue) Put(s Signal) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.Type == None {
		return
	}
	key := place{owner: s.Owner, object: s.Object.ID}
	if element, found := q.waiting[key]; found {
		merge(element, s)
		return
	}
	if len(q.waiting) >= q.limit {
		key.object = inventory.ID{}
		s = Signal{Owner: s.Owner, Type: s.Type}
		if element, found := q.waiting[key]; found {
			merge(element, s)
			return
		}
	}
	q.waiting[key] = q.order.PushBack(&s)
	q.signal()
}

// Next takes the oldest signal, and waits for one. The error is the context's.
func (q *Queue) Next(ctx context.Context) (Signal, error) {
	for {
		if s, found := q.take(); found {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return Signal{}, context.Cause(ctx)
		case <-q.wake:
		}
	}
}

// Len returns how many signals wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.order.Len()
}

func (q *Queue) take() (Signal, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	front := q.order.Front()
	if front == nil {
		return Signal{}, false
	}
	s, _ := q.order.Remove(front).(*Signal)
	delete(q.waiting, place{owner: s.Owner, object: s.Object.ID})
	if q.order.Len() > 0 {
		q.signal() // for a second taker
	}
	return *s, true
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// merge lets the weightier of two signals stand. Whether the object has ended, the later one knows, if it is about the same
// object: one that follows a departure is about the next.
func merge(element *list.Element, s Signal) {
	there, ok := element.Value.(*Signal)
	if !ok {
		return
	}
	ended := s.Ended
	if there.Type == Gone && s.Type != Gone {
		ended = there.Ended
	}
	if s.Type > there.Type {
		*there = s
	}
	there.Ended = ended
}
