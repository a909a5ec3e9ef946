// Package deliver is the durable path from an event to the services that people watch:
//
//	SLUICE_EVENTS ─ Router ─▶ SLUICE_DELIVERIES ─ Queues ─▶ Sender ─▶ provider
//	                  │                                       │
//	                  └───────────▶ SLUICE_DEAD_LETTERS ◀─────┘
//
// The [Router] turns each event into one [Record] per Alert that selects it. [Queues] gives every Provider a durable
// consumer of its own, so that a slow one delays nobody else. The [Sender] claims a record in the ledger, sends it, and
// notes the outcome. What cannot be delivered becomes a dead letter with an Event on the Alert; nothing is dropped
// silently.
package deliver

import (
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

const (
	deliverySubject   = "sluice.deliveries."
	deadLetterSubject = "sluice.deadletters."
	// week is how long what waits to be sent is kept; it is well above plan.MaxAge.
	week = 7 * 24 * time.Hour
	// ledgerTTL outlives every message that could bring a delivery up again.
	ledgerTTL = week + 24*time.Hour
	// historyTTL is how long an object's last events are remembered (see history), and an incident.
	historyTTL = 365 * 24 * time.Hour
)

// Deliveries is the work queue of notifications to be sent.
func Deliveries() bus.Stream {
	return bus.Stream{
		Name:      "SLUICE_DELIVERIES",
		Subjects:  []string{deliverySubject + ">"},
		MaxAge:    week,
		MaxBytes:  256 << 20,
		Window:    30 * time.Minute,
		WorkQueue: true,
	}
}

// DeadLetters keeps what could not be delivered, with the reason in the header Sluice-Reason.
func DeadLetters() bus.Stream {
	return bus.Stream{
		Name:     "SLUICE_DEAD_LETTERS",
		Subjects: []string{deadLetterSubject + ">"},
		MaxAge:   2 * week,
		MaxBytes: 128 << 20,
		Window:   30 * time.Minute,
	}
}

func router(parallel int) bus.Consumer {
	return bus.Consumer{Stream: bus.Events(), Name: "notify-router", Parallel: parallel}
}

// queue is the consumer of one Provider. A UID has only letters, digits and '-', which a subject and a name may hold.
func queue(provider route.Ref, parallel int) bus.Consumer {
	return bus.Consumer{
		Stream:   Deliveries(),
		Name:     "deliver-" + string(provider.UID),
		Filter:   deliverySubject + string(provider.UID),
		Parallel: parallel,
	}
}
