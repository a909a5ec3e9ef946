package deliver

import (
	"context"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
)

// entry is what the ledger knows about a delivery.
type entry struct {
	Stage plan.Stage `json:"stage,omitempty"`
	Tries int        `json:"tries,omitempty"`
	// Until is the end of a claim's lease, or of the wait that the target asked for when it failed.
	Until time.Time `json:"until,omitzero"`
	// Failure is the last one's reason.
	Failure string `json:"failure,omitempty"`

	revision uint64
}

// ledger remembers deliveries across restarts: claim, send, note. A crash between sending and noting leaves a claim
// whose lease runs out; that one delivery is sent again. It is safe for concurrent use.
type ledger struct{ table table[entry] }

func newLedger(b bus.Bus) *ledger {
	return &ledger{table[entry]{bus: b, name: "sluice-delivered", ttl: ledgerTTL}}
}

func (l *ledger) read(ctx context.Context, id string) (entry, error) {
	found, revision, err := l.table.get(ctx, id)
	found.revision = revision
	return found, err
}

// write changes an entry that was read; an error wraps bus.ErrExists when somebody else did meanwhile.
func (l *ledger) write(ctx context.Context, id string, e entry) (entry, error) {
	revision, err := l.table.put(ctx, id, e, e.revision)
	e.revision = revision
	return e, err
}
