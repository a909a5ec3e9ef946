package deliver

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

// rosterKey is the one key of the roster's store.
const rosterKey = "queues"

// Roster is the durable list of Providers that something was queued for. Without it, what is queued for a Provider that
// is deleted while this controller is down would expire unseen. It is safe for concurrent use.
type Roster struct {
	table table[map[types.UID]route.Ref]

	mu    sync.Mutex
	known map[types.UID]bool
}

// NewRoster returns the roster kept on a bus.
func NewRoster(b bus.Bus) *Roster {
	return &Roster{
		table: table[map[types.UID]route.Ref]{bus: b, name: "sluice-queues"},
		known: map[types.UID]bool{},
	}
}

// add returns once the Provider is on the list; that is remembered until the list says otherwise.
func (r *Roster) add(ctx context.Context, provider route.Ref) error {
	if r.remembers(provider.UID) {
		return nil
	}
	err := r.change(ctx, func(listed map[types.UID]route.Ref) { listed[provider.UID] = provider })
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[provider.UID] = true
	return nil
}

func (r *Roster) remembers(uid types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[uid]
}

// remove takes a Provider off the list.
func (r *Roster) remove(ctx context.Context, uid types.UID) error {
	r.mu.Lock()
	delete(r.known, uid)
	r.mu.Unlock()
	return r.change(ctx, func(listed map[types.UID]route.Ref) { delete(listed, uid) })
}

// list returns the Providers on the list, by UID. What is remembered follows it: a broker may have lost the list.
func (r *Roster) list(ctx context.Context) ([]route.Ref, error) {
	listed, _, err := r.table.get(ctx, rosterKey)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.known)
	for uid := range listed {
		r.known[uid] = true
	}
	return slices.SortedFunc(maps.Values(listed), func(a, b route.Ref) int {
		return strings.Compare(string(a.UID), string(b.UID))
	}), nil
}

func (r *Roster) change(ctx context.Context, edit func(map[types.UID]route.Ref)) error {
	const attempts = 5 // others write the same list now and then
	var err error
	for range attempts {
		listed, revision, readErr := r.table.get(ctx, rosterKey)
		if readErr != nil {
			return readErr
		}
		if listed == nil {
			listed = map[types.UID]route.Ref{}
		}
		edit(listed)
		if _, err = r.table.put(ctx, rosterKey, listed, revision); !errors.Is(err, bus.ErrExists) {
			return err
		}
	}
	return err
}
