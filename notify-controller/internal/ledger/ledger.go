// Package ledger is what notify-controller remembers on the bus, across restarts: how far each delivery is ([Ledger]), what was
// routed of each object ([History]), what targets know about each ([Incidents]), and which Providers have a queue ([Queues]).
package ledger

import (
	"context"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/notify-controller/internal/delivery"
	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
)

const (
	// ledgerTTL outlives every message that could bring a delivery up again.
	ledgerTTL = delivery.Kept + 24*time.Hour
	// historyTTL is how long an object's last events are remembered (see [History]), and an incident.
	historyTTL = 365 * 24 * time.Hour
)

// Entry is what the ledger knows about a delivery.
type Entry struct {
	Stage plan.Stage `json:"stage,omitempty"`
	Tries int        `json:"tries,omitempty"`
	// Until is the end of a claim's lease, or of the wait that the target asked for when it failed.
	Until time.Time `json:"until,omitzero"`
	// Failure is the last one's reason.
	Failure string `json:"failure,omitempty"`

	revision uint64
}

// Ledger remembers deliveries across restarts: claim, send, note. A crash between sending and noting leaves a claim
// whose lease runs out; that one delivery is sent again. It is safe for concurrent use.
type Ledger struct{ table *Table[Entry] }

// New returns the ledger on a bus.
func New(b bus.Bus) *Ledger {
	return &Ledger{NewTable[Entry](b, "sluice-delivered", ledgerTTL)}
}

// Incidents are the states that targets keep about objects, by a key of Provider and object.
func Incidents(b bus.Bus) *Table[plan.Incident] {
	return NewTable[plan.Incident](b, "sluice-incidents", historyTTL)
}

// Read returns what is known of a delivery, by its id; the zero entry for nothing.
func (l *Ledger) Read(ctx context.Context, id string) (Entry, error) {
	found, revision, err := l.table.Get(ctx, id)
	found.revision = revision
	return found, err
}

// Write changes an entry that was read; an error wraps bus.ErrExists when somebody else did meanwhile.
func (l *Ledger) Write(ctx context.Context, id string, e Entry) (Entry, error) {
	revision, err := l.table.Put(ctx, id, e, e.revision)
	e.revision = revision
	return e, err
}
