package ledger

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

// queuesKey is the one key of the store.
const queuesKey = "queues"

// Queues is the durable list of Providers that something was queued foq. Without it, what is queued for a Provider that
// is deleted while this controller is down would expire unseen. It is safe for concurrent use.
type Queues struct {
	table *Table[map[types.UID]route.Ref]

	mu    sync.Mutex
	known map[types.UID]bool
}

// NewQueues returns the list on a bus.
func NewQueues(b bus.Bus) *Queues {
	return &Queues{
		table: NewTable[map[types.UID]route.Ref](b, "sluice-queues", 0),
		known: map[types.UID]bool{},
	}
}

// Add returns once the Provider is on the list; that is remembered until the list says otherwise.
func (q *Queues) Add(ctx context.Context, provider route.Ref) error {
	if q.remembers(provider.UID) {
		return nil
	}
	err := q.change(ctx, func(listed map[types.UID]route.Ref) { listed[provider.UID] = provider })
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.known[provider.UID] = true
	return nil
}

func (q *Queues) remembers(uid types.UID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.known[uid]
}

// Remove takes a Provider off the list.
func (q *Queues) Remove(ctx context.Context, uid types.UID) error {
	q.mu.Lock()
	delete(q.known, uid)
	q.mu.Unlock()
	return q.change(ctx, func(listed map[types.UID]route.Ref) { delete(listed, uid) })
}

// List returns the Providers on the list, by UID. What is remembered follows it: a broker may have lost the list.
func (q *Queues) List(ctx context.Context) ([]route.Ref, error) {
	listed, _, err := q.table.Get(ctx, queuesKey)
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.known)
	for uid := range listed {
		q.known[uid] = true
	}
	return slices.SortedFunc(maps.Values(listed), func(a, b route.Ref) int {
		return strings.Compare(string(a.UID), string(b.UID))
	}), nil
}

func (q *Queues) change(ctx context.Context, edit func(map[types.UID]route.Ref)) error {
	const attempts = 5 // others write the same list now and then
	var err error
	for range attempts {
		listed, revision, readErr := q.table.Get(ctx, queuesKey)
		if readErr != nil {
			return readErr
		}
		if listed == nil {
			listed = map[types.UID]route.Ref{}
		}
		edit(listed)
		if _, err = q.table.Put(ctx, queuesKey, listed, revision); !errors.Is(err, bus.ErrExists) {
			return err
		}
	}
	return err
}
